//! Why a job could not be run, or its outputs not be had.

use std::path::PathBuf;
use std::time::Duration;

use super::capabilities::Unsuitable;
use super::input_root::InputError;
use crate::cas::StoreError;
use crate::digest::Digest;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Input(#[from] InputError),

    /// A file is not what it was when its digest was taken.
    #[error("{} was changed while it was in use", .0.display())]
    Changed(PathBuf),

    #[error("the server is of no use for this: {0}")]
    Unsuitable(#[from] Unsuitable),

    /// The server answered with an error.
    #[error("the server failed to {doing}: {message} ({code:?})")]
    Call { doing: &'static str, code: tonic::Code, message: String },

    /// The server was there, then it was not, and did not come back in time.
    #[error("the connection to the server was lost ({reason}), and for {} s it could not be had again", .patience.as_secs())]
    Lost { reason: String, patience: Duration },

    /// It said so, however often they were uploaded.
    #[error("the server says that it lacks what was uploaded to it: {}", .0.join(", "))]
    StillMissing(Vec<String>),

    /// It was given the action as often as that, and lost it every time.
    #[error(
        "the server took the action {0} times and every time did not know of it a moment later (NOT_FOUND); if there \
         are several servers at its address, each must know the executions of all, or a client must stay with one"
    )]
    Forgotten(usize),

    /// It was told to run the action, and came with an old result as often as that.
    #[error(
        "the server answered {0} times with a result of before whose outputs it no longer has, although it was told \
         to run the action again"
    )]
    StaleResult(usize),

    /// The action took longer than it might, on the whole.
    #[error("the server ended the action because its time was over: {0}")]
    TimedOut(String),

    #[error("the action was cancelled")]
    Cancelled,

    #[error("the server's answer makes no sense: {0}")]
    Answer(String),

    #[error("the output `{path}` ({digest}) is no longer on the server")]
    OutputGone { path: String, digest: Digest },

    #[error(
        "the bytes that the server has for the output `{path}` are not those of {expected}, but of {actual}"
    )]
    OutputDamaged { path: String, expected: Digest, actual: Digest },

    #[error(transparent)]
    Store(#[from] StoreError),

    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl ClientError {
    /// An error that a call came back with.
    pub(super) fn call(doing: &'static str, status: &tonic::Status) -> Self {
        // A status without a message has its cause at least.
        let message = match status.message() {
            "" => crate::remote::describe(status),
            text => text.to_owned(),
        };
        Self::Call { doing, code: status.code(), message }
    }
}
