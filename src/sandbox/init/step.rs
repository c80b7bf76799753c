//! A step of the set-up that failed, in words.

use std::fmt::Display;

use crate::sandbox::message::Report;

/// What was attempted and what came of it.
#[derive(Debug)]
pub(super) struct Failure {
    /// In the imperative: "mount a tmpfs on /tmp".
    pub step: String,
    pub error: String,
}

impl From<Failure> for Report {
    fn from(failure: Failure) -> Self {
        Self::SetUpFailed { step: failure.step, error: failure.error }
    }
}

/// Names the step a result belongs to.
pub(super) trait Step<T> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Display> Step<T> for Result<T, E> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure { step: step(), error: error.to_string() })
    }
}
