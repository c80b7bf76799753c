//! What a pool runs its actions with: an executor, and the layers around it.

use std::sync::Arc;

use super::layers::counting::{Counted, ExecuteCounters};
use super::layers::logging::Logged;
use super::layers::timestamps::Timestamped;
use super::local::LocalExecutor;
use super::work::Execute;

/// Actions are run here, timed, counted and logged.
pub fn executor(local: LocalExecutor, counters: Arc<ExecuteCounters>) -> impl Execute {
    Logged(Counted { inner: timestamped(local), counters })
}

/// Actions are run by `inner` and timed.
pub fn timestamped(inner: impl Execute) -> impl Execute {
    Timestamped(inner)
}
