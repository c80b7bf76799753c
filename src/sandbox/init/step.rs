//! Names the step of the set-up that a result belongs to.

use crate::sandbox::message::Report;
use crate::sandbox::set_up::{SetUpCause, SetUpFailure, SetUpStep};

impl From<SetUpFailure> for Report {
    fn from(failure: SetUpFailure) -> Self {
        Self::SetUpFailed(failure)
    }
}

/// For results whose error says why, but not at what.
pub(super) trait Step<T> {
    fn step(self, step: SetUpStep) -> Result<T, SetUpFailure>;

    /// As [`Step::step`], for steps that take memory to name.
    fn step_with(self, step: impl FnOnce() -> SetUpStep) -> Result<T, SetUpFailure>;
}

impl<T, E: Into<SetUpCause>> Step<T> for Result<T, E> {
    fn step(self, step: SetUpStep) -> Result<T, SetUpFailure> {
        self.step_with(|| step)
    }

    fn step_with(self, step: impl FnOnce() -> SetUpStep) -> Result<T, SetUpFailure> {
        self.map_err(|error| SetUpFailure { step: step(), cause: error.into() })
    }
}
