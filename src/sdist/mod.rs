//! From an sdist to a verified wheel: archive → project → venv → backend → wheel → verify.
//! Knows nothing of REAPI, of package indexes or of who asked.

pub mod archive;
pub mod core_metadata;
pub mod failure;
pub mod interpreter;
pub mod report;

pub use failure::{Failure, FailureClass};
