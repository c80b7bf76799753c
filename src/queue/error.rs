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
    #[error("{limit} actions are queued, which is as many as may be; ask again later")]
    Full { limit: usize },

    /// The server is about to stop.
    #[error("the server is stopping and takes no more actions")]
    Closing,
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
