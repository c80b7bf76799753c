//! What fails around the step, on the files of this machine, as a [`Failure`]. What others find is sorted where it is
//! known: by `executor.rs`, `http.rs`, `run.rs`.

use crate::contract::{Failure, FailureClass};

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(FailureClass::LocalIo, error.to_string())
    }
}
