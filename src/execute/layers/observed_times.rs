//! The times of an action for a layer that wants them once it has ended. Knows nothing of what they are for.

use std::sync::OnceLock;

use crate::execute::stage_times::{Moment, Stage, StageTimes};
use crate::execute::work::{Observer, OutputStream};

/// Hands on what a running action does, and keeps its times.
pub struct ObservedTimes<'a> {
    observer: &'a dyn Observer,
    times: OnceLock<StageTimes>,
}

impl<'a> ObservedTimes<'a> {
    /// Hands on to `observer`.
    pub fn new(observer: &'a dyn Observer) -> Self {
        Self { observer, times: OnceLock::new() }
    }

    /// The times, once the action has ended; none of what nothing was timed of.
    pub fn get(&self) -> Option<&StageTimes> {
        self.times.get()
    }
}

impl Observer for ObservedTimes<'_> {
    fn stage(&self, stage: Stage, at: Moment) {
        self.observer.stage(stage, at);
    }

    fn output(&self, stream: OutputStream, bytes: &[u8]) {
        self.observer.output(stream, bytes);
    }

    fn ended(&self, times: &StageTimes) {
        // An action ends once.
        let _ = self.times.set(times.clone());
        self.observer.ended(times);
    }
}
