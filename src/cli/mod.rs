//! The command line: one thin file per subcommand. Knows nothing of how anything is done.

mod build;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds Python wheels from sdists, on a machine whose platform is the target's.
#[derive(Parser)]
#[command(name = "crosswheel", version, about, long_about = None, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Build(Box<build::BuildArguments>),
}

/// Runs the command line of this process and returns its exit code.
pub fn run() -> ExitCode {
    match Arguments::parse().command {
        Command::Build(arguments) => build::run(*arguments),
    }
}
