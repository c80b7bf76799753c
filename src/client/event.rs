//! What happens to a job while somebody waits for it. Knows nothing of how it is found out.

use std::time::Duration;

use super::upload::Uploaded;

/// What happens to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobEvent<'a> {
    /// Inputs were sent.
    Uploaded(Uploaded),
    /// It waits for a worker.
    Queued,
    /// It has been waiting for this long.
    StillQueued(Duration),
    /// A worker has it.
    Executing,
    /// The command wrote this to standard error.
    Stderr(&'a [u8]),
    /// What it wrote so far comes once more, because it runs once more.
    Restarted(&'a str),
    /// The server does not answer; it is tried again.
    Reconnecting(&'a str),
}
