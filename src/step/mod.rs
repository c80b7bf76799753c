//! From an sdist to a verified wheel: archive → project → venv → backend → wheel → verify.
//! Knows nothing of REAPI, of package indexes or of who asked.

pub mod backend;
pub mod build;
pub mod diagnosis;
pub mod error;
pub mod failure;
pub mod promise;
mod removal;
pub mod report;
pub mod source;
mod staging;
pub mod stopwatch;
pub mod venv;
pub mod verify;
pub mod workspace;

pub use failure::{Failure, FailureClass};
