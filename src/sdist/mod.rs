//! From an sdist to a verified wheel: archive → project → venv → backend → wheel → verify.
//! Knows nothing of REAPI, of package indexes or of who asked.

pub mod core_metadata;
pub mod entry_points;
pub mod failure;
pub mod interpreter;
pub mod report;
pub mod wheel_archive;
pub mod wheel_metadata;

pub use failure::{Failure, FailureClass};
