//! The queue as workers see it: a slot that yields actions, one at a time. Knows nothing of how they are run.

use std::sync::Arc;

use super::operation::Outcome;
use super::order::Order;
use super::output::ActionOutput;
use super::pool::Pool;
use super::ready::TaskNumber;
use super::shared::Shared;
use super::state::Assigned;
use crate::cancellation::Cancellation;
use crate::execute::{Moment, Observer, OutputStream, Stage};

/// Where one action at a time may run.
#[derive(Debug)]
pub struct Slot {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    index: usize,
    name: String,
}

impl Slot {
    pub(super) fn new(shared: Arc<Shared>, pool: Arc<Pool>, index: usize, number: usize) -> Self {
        let name = format!("{}/{number}", pool.name);
        Self { shared, pool, index, name }
    }

    /// The pool whose slot it is.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The name of its worker: `POOL/NUMBER`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits for an action to run; `None` when the queue is closed.
    pub fn take(&mut self) -> Option<Assignment> {
        let mut state = self.shared.state.lock();
        let mut assigned = if state.is_closing() { None } else { state.take(self.index, Moment::now()) };
        // What was assigned before the queue was closed is taken, so that somebody reports its end.
        while assigned.is_none() && !state.is_closing() {
            self.shared.slots[self.index].wait(&mut state);
            assigned = state.assigned(self.index);
        }
        drop(state);
        let Assigned { task, order, cancellation, output } = assigned?;
        let shared = Arc::clone(&self.shared);
        Some(Assignment { shared, task, order, cancellation, output, is_reported: false })
    }
}

/// An action to run. Its progress is reported to it (it is an [`Observer`]), and so is its end.
#[derive(Debug)]
pub struct Assignment {
    shared: Arc<Shared>,
    task: TaskNumber,
    order: Order,
    cancellation: Arc<Cancellation>,
    output: Arc<ActionOutput>,
    is_reported: bool,
}

impl Assignment {
    /// What to run.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// Says when nobody wants it any more.
    pub fn cancellation(&self) -> &Cancellation {
        &self.cancellation
    }

    /// Reports its end: none of its processes is left.
    pub fn finish(mut self, outcome: Outcome) {
        self.report(outcome);
    }

    fn report(&mut self, outcome: Outcome) {
        self.is_reported = true;
        self.shared.with(|state, now| state.finish(self.task, outcome, now));
    }
}

impl Observer for Assignment {
    fn stage(&self, stage: Stage, at: Moment) {
        self.shared.with(|state, _| state.reached(self.task, stage, at));
    }

    fn output(&self, stream: OutputStream, bytes: &[u8]) {
        self.output.append(stream, bytes);
    }
}

impl Drop for Assignment {
    fn drop(&mut self) {
        if !self.is_reported {
            self.report(Outcome::WorkerFailed("its worker gave it up".to_owned()));
        }
    }
}
