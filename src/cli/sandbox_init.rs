//! `crosswheel sandbox-init`: the process between us and a command that runs in a sandbox. We start it
//! ourselves.

use std::process::ExitCode;

/// Serves the one request that comes over standard error.
pub fn run() -> ExitCode {
    crate::sandbox::run_init()
}
