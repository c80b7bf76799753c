//! The command line: one thin file per subcommand. Knows nothing of how anything is done.

mod sandbox_init;
mod sandbox_run;

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
    /// Set up a sandbox and watch over what runs in it (started by crosswheel itself).
    #[command(hide = true)]
    SandboxInit,
    /// Run a command as a build would run it, to see what it sees.
    #[command(hide = true)]
    SandboxRun(sandbox_run::Arguments),
}

/// Runs the command line of this process and returns its exit code.
pub fn run() -> ExitCode {
    match Arguments::parse().command {
        Command::SandboxInit => sandbox_init::run(),
        Command::SandboxRun(arguments) => sandbox_run::run(arguments),
    }
}
