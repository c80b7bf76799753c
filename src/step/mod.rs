//! The hermetic step, from an sdist to a verified wheel: archive → source → venv → backend → verify.
//! Knows nothing of REAPI, of package indexes or of who asked.

pub mod backend;
pub mod build;
pub mod check;
pub mod diagnosis;
pub mod error;
mod failed_run;
pub mod helper;
pub mod promise;
pub mod request;
pub mod sdist;
pub mod source;
pub mod stopwatch;
pub mod venv;
pub mod verify;
mod workshop;
