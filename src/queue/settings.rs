//! Bounds of the queue. Knows nothing of what happens at them.

use std::time::Duration;

use super::pool::Timeouts;
use super::retention::Retained;

/// Bounds of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueSettings {
    /// How long actions may run in pools that say nothing about it.
    pub timeouts: Timeouts,
    /// How many actions may wait for a worker.
    pub max_queued: usize,
    /// How much memory operations that have not ended may take, in bytes.
    pub max_bytes: usize,
    /// How long an operation lives on while nobody waits for it. Clients that lost their connection come back
    /// within this time; Bazel does so within seconds.
    pub grace: Duration,
    /// How long completed operations can be asked for.
    pub completed_operations: Retained,
    /// How long the output of ended actions can be read as a stream. (It is in their results, too.)
    pub ended_outputs: Retained,
}

impl Default for QueueSettings {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self {
            timeouts: Timeouts::default(),
            max_queued: 100_000,
            max_bytes: 512 << 20,
            grace: minute,
            completed_operations: Retained { count: 10_000, size_bytes: 64 << 20, time: 10 * minute },
            ended_outputs: Retained { count: 1_000, size_bytes: 16 << 20, time: minute },
        }
    }
}
