//! The `crosswheel` binary: hands the command line to [`crosswheel::cli`] and exits with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    crosswheel::cli::run()
}
