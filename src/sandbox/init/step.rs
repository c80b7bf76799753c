//! A step of the set-up that failed, in words.

use std::fmt::Display;

use crate::sandbox::error::SetUpFault;
use crate::sandbox::message::Report;

/// What was attempted and what came of it.
#[derive(Debug)]
pub(super) struct Failure {
    /// In the imperative: "mount a tmpfs on /tmp".
    pub step: String,
    pub error: String,
    pub fault: SetUpFault,
}

impl Failure {
    pub(super) fn new(step: impl Into<String>, error: impl Display) -> Self {
        Self { step: step.into(), error: error.to_string(), fault: SetUpFault::Other }
    }
}

impl From<Failure> for Report {
    fn from(failure: Failure) -> Self {
        Self::SetUpFailed { step: failure.step, error: failure.error, fault: failure.fault }
    }
}

/// Names the step a result belongs to.
pub(super) trait Step<T> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Display> Step<T> for Result<T, E> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(step(), error))
    }
}
