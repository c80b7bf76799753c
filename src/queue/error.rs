//! Why an action was not taken, or its operation ended without a result. gRPC codes are assigned elsewhere.

use std::time::Duration;

use super::platform::Unsatisfiable;

/// Why an action is not taken into the queue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No pool satisfies the platform the action asks for, and none ever will.
    #[error(transparent)]
    Unsatisfiable(Box<Unsatisfiable>),

    /// The action may not run for as long as it asks for (REAPI `Action.timeout`: the server must refuse).
    #[error(
        "asks for {}, and actions on its platform may run for {} at most",
        humantime::format_duration(*.asked),
        humantime::format_duration(*.maximum)
    )]
    Timeout { asked: Duration, maximum: Duration },

    /// As many actions wait as may.
    #[error("{limit} actions are queued, which is as many as may be (max-queued-actions); ask again later")]
    Full { limit: usize },

    /// What is known of operations takes as much memory as it may.
    #[error(
        "the actions that were asked for take {limit} bytes of memory, which is as much as they may \
         (max-queue-bytes); ask again later"
    )]
    FullBytes { limit: usize },

    /// The client has as much of the queue as one may have.
    #[error(
        "{limit} {of} of one client are queued, which are as many as one may have: three quarters of {setting}; \
         ask again later"
    )]
    Share { limit: usize, of: &'static str, setting: &'static str },

    /// The server is about to stop.
    #[error("the server is stopping and takes no more actions")]
    Closing,
}

/// Why somebody cannot wait for an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unheard {
    #[error("there is no such operation, or it completed a while ago")]
    Unknown,

    /// Every listener costs memory, and is woken at every change.
    #[error("{limit} wait for this operation already, which is as many as may; ask again later")]
    Crowded { limit: usize },
}

/// Why there can be no queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    #[error("there must be at least one pool of workers")]
    NoPools,
    #[error("pool `{0}` has no slots; it must be able to run at least one action at a time")]
    NoSlots(String),
    #[error("two pools are named `{0}`; their workers could not be told apart")]
    SameName(String),
    #[error(
        "{of}: the default timeout ({}) is longer than the maximum ({})",
        humantime::format_duration(*.default),
        humantime::format_duration(*.maximum)
    )]
    Timeouts { of: String, default: Duration, maximum: Duration },
    #[error("cannot start the thread that watches over the queue's deadlines: {0}")]
    Thread(std::io::Error),
}
