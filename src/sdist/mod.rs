//! From an sdist to a verified wheel: archive → project → venv → backend → wheel → verify.
//! Knows nothing of REAPI, of package indexes or of who asked.

pub mod archive;
pub mod backend;
pub mod build;
mod build_venv;
pub mod byte_compile;
pub mod compiler;
pub mod core_metadata;
pub mod diagnosis;
pub mod elf;
pub mod entry_points;
pub mod environment;
pub mod failure;
mod hook_message;
pub mod interpreter;
mod machine;
pub mod patch;
pub mod project;
mod removal;
pub mod report;
pub mod requirements;
pub mod script;
mod staging;
pub mod step_error;
pub mod stopwatch;
pub mod system_packages;
pub mod unpacked_wheel;
pub mod venv;
pub mod venv_cache;
pub mod verify;
pub mod wanted;
pub mod wheel_archive;
pub mod wheel_metadata;
pub mod wheel_refused;
pub mod wheel_store;
pub mod wheelhouse;
pub mod workspace;

pub use failure::{Failure, FailureClass};
