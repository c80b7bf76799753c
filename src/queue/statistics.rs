//! What the queue counts. Knows nothing of how the figures are shown.

use std::time::Duration;

use super::error::Refusal;
use super::operation::CancelReason;
use super::operation::Outcome;
use super::pool::Pool;

/// The queue at one moment, and all it has done since it was made (`…_total`).
#[derive(Debug, Clone, Default)]
pub struct Statistics {
    pub pools: Vec<PoolStatistics>,
    /// Actions that wait for a worker.
    pub queued: usize,
    /// Operations that are known: completed ones are for a while.
    pub operations: usize,
    /// Operations that have not ended and nobody waits for.
    pub unattended: usize,
    pub operations_total: u64,
    /// Operations that joined another's action.
    pub merged_total: u64,
    pub outcomes: Outcomes,
    pub refusals: Refusals,
}

/// What one pool does and did.
#[derive(Debug, Clone, Default)]
pub struct PoolStatistics {
    pub pool: String,
    pub slots: usize,
    /// Actions that run now.
    pub executing: usize,
    pub started_total: u64,
    /// How long its actions waited in the queue, all together.
    pub waited_total: Duration,
}

/// How operations ended.
#[derive(Debug, Clone, Default)]
pub struct Outcomes {
    /// Served from the action cache.
    pub cached_total: u64,
    /// Ran and exited with 0.
    pub succeeded_total: u64,
    /// Ran and exited with something else.
    pub exited_nonzero_total: u64,
    pub timed_out_total: u64,
    /// Killed, or without outputs, for having taken more than they may have.
    pub exceeded_total: u64,
    /// Could not be run: inputs missing, an invalid action, a fault of the host.
    pub not_run_total: u64,
    /// Cancelled by a client, or when the server stopped.
    pub cancelled_total: u64,
    /// Cancelled as nobody waited for them.
    pub abandoned_total: u64,
    /// A worker broke off.
    pub worker_failed_total: u64,
}

/// Why actions were not taken.
#[derive(Debug, Clone, Default)]
pub struct Refusals {
    pub unsatisfiable_total: u64,
    pub timeout_total: u64,
    pub full_total: u64,
    pub closing_total: u64,
}

impl PoolStatistics {
    pub(super) fn of(pool: &Pool) -> Self {
        Self { pool: pool.name.clone(), slots: pool.slots, ..Self::default() }
    }
}

impl Statistics {
    pub(super) fn count(&mut self, outcome: &Outcome) {
        let outcomes = &mut self.outcomes;
        let counter = match outcome {
            Outcome::Cached(_) => &mut outcomes.cached_total,
            Outcome::Executed(executed) if executed.timed_out => &mut outcomes.timed_out_total,
            Outcome::Executed(executed) if executed.exceeded.is_some() => &mut outcomes.exceeded_total,
            Outcome::Executed(executed) if executed.result.exit_code == 0 => &mut outcomes.succeeded_total,
            Outcome::Executed(_) => &mut outcomes.exited_nonzero_total,
            Outcome::Failed(_) => &mut outcomes.not_run_total,
            Outcome::Cancelled(CancelReason::Abandoned(_) | CancelReason::MadeRoom) => {
                &mut outcomes.abandoned_total
            }
            Outcome::Cancelled(_) => &mut outcomes.cancelled_total,
            Outcome::WorkerFailed(_) => &mut outcomes.worker_failed_total,
            Outcome::Refused(refusal) => return self.refusals.count(refusal),
        };
        *counter += 1;
    }
}

impl Refusals {
    pub(super) fn count(&mut self, refusal: &Refusal) {
        let counter = match refusal {
            Refusal::Unsatisfiable(_) => &mut self.unsatisfiable_total,
            Refusal::Timeout { .. } => &mut self.timeout_total,
            Refusal::Full { .. } | Refusal::FullBytes { .. } | Refusal::Share { .. } => &mut self.full_total,
            Refusal::Closing => &mut self.closing_total,
        };
        *counter += 1;
    }
}
