//! What fails around the step, on the files of this machine and in locks, as a [`Failure`]. What others find is sorted where it is
//! known: by `executor.rs`, `http.rs`, `run.rs`.

use crate::contract::{Failure, FailureClass};
use crate::lock::LockError;

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(FailureClass::LocalIo, error.to_string())
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        let class = match &error {
            LockError::Unreadable { .. } => FailureClass::LocalIo,
            LockError::NoUsableFile { .. }
            | LockError::UnsupportedEnvironment { .. }
            | LockError::Conflict { .. }
            | LockError::NoFork { .. } => FailureClass::ResolutionFailed,
            LockError::RequiresPython { .. } => FailureClass::RequiresNewerPython,
            _ => FailureClass::InvalidSource,
        };
        let failure = Self::new(class, error.to_string());
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}
