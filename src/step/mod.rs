//! The hermetic step, from an sdist to a verified wheel: archive → source → venv → backend → verify.
//! Knows nothing of REAPI, of package indexes or of who asked.

pub mod backend;
pub mod build;
pub mod diagnosis;
pub mod error;
pub mod expect;
mod failed_run;
pub mod failure;
pub mod promise;
mod removal;
pub mod report;
pub mod request;
pub mod source;
mod staging;
pub mod stopwatch;
pub mod venv;
pub mod verify;
pub mod workspace;

pub use failure::{Failure, FailureClass};
