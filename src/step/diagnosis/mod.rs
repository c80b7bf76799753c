//! Reads a failed build's log and says which class of failure it shows, with the lines that show
//! it and what to do. Knows nothing of processes; what the lines mean is in `rules`, and the table
//! of Debian packages is elsewhere.

pub mod debian_packages;
mod diagnose;
mod python_modules;
mod rules;

pub use diagnose::{HookError, diagnose, diagnose_refusal, failed_compilation};
