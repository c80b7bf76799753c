//! How a command ended, and what it and its descendants used. Knows nothing of how that was found out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limits::MetLimit;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    pub outcome: Outcome,
    /// The deadline passed while the command was still running, and it was killed.
    pub timed_out: bool,
    /// The command was killed by us, because of the deadline or by a [`Killer`](super::tree::Killer).
    pub killed: bool,
    /// The limit that it met, if it met one: it was killed for that, or has failed with its directories in memory full.
    pub met: Option<MetLimit>,
    /// Peak of the memory of the whole tree: the sum of its resident sets, sampled about every 20 ms, and
    /// never less than the largest process had, with what its directories in memory hold. Shared pages count once per
    /// process.
    pub peak_memory_bytes: u64,
    /// Processor time in user mode of all processes whose end somebody waited for.
    pub user_time: Duration,
    /// Processor time in the kernel, likewise.
    pub system_time: Duration,
}

/// The end of the command itself, whatever its descendants did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}
