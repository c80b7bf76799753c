//! From an sdist to a verified wheel: archive → project → venv → backend → wheel → verify.
//! Knows nothing of REAPI, of package indexes or of who asked.

pub mod core_metadata;
pub mod diagnosis;
pub mod environment;
pub mod failure;
pub mod interpreter;
pub mod patch;
pub mod project;
pub mod report;
pub mod system_packages;
pub mod workspace;

pub use failure::{Failure, FailureClass};
