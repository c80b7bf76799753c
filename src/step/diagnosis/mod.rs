//! Which class of failure a build's log shows, with the lines that show it and what to do: a table of what lines mean,
//! and tables of modules and of Debian's packages. Knows nothing of processes.

pub mod debian_packages;
mod diagnose;
mod explanations;
mod log_finding;
mod python_modules;
mod rules;

pub use diagnose::{HookError, diagnose, diagnose_refusal, failed_compilation};
