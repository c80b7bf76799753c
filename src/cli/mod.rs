//! The command line: one thin file per subcommand. Knows nothing of how anything is done.

use std::process::ExitCode;

use clap::Parser;

/// Builds Python wheels from sdists, on a machine whose platform is the target's.
#[derive(Parser)]
#[command(name = "crosswheel", version, about, long_about = None, arg_required_else_help = true)]
struct Arguments {}

/// Runs the command line of this process and returns its exit code.
pub fn run() -> ExitCode {
    Arguments::parse();
    ExitCode::SUCCESS
}
