//! The subcommands. Knows nothing of what they do.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use super::{
    build, check, doctor, generate, rootfs, sandbox_init, sandbox_run, sdist, serve, store, wheel,
    wheelhouse, worker,
};

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
    Wheelhouse(Box<wheelhouse::WheelhouseArguments>),
    Wheel(Box<wheel::WheelArguments>),
    Sdist(Box<sdist::SdistArguments>),
    Check(Box<check::CheckArguments>),
    Serve(Box<serve::ServeArguments>),
    Worker(Box<worker::WorkerArguments>),
    Generate(generate::GenerateArguments),
    Doctor(doctor::DoctorArguments),
    Store(store::StoreArguments),
    Rootfs(rootfs::RootfsArguments),
    /// Set up a sandbox and watch over what runs in it (started by crosswheel itself).
    #[command(hide = true)]
    SandboxInit,
    /// Run a command as a build would run it, to see what it sees.
    #[command(hide = true)]
    SandboxRun(sandbox_run::Arguments),
}

/// All subcommands and their options, for whoever describes them.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the command line of this process and returns its exit code.
pub fn run() -> ExitCode {
    match Arguments::parse().command {
        Command::Build(arguments) => build::run(*arguments),
        Command::Wheelhouse(arguments) => wheelhouse::run(*arguments),
        Command::Wheel(arguments) => wheel::run(*arguments),
        Command::Sdist(arguments) => sdist::run(*arguments),
        Command::Check(arguments) => check::run(*arguments),
        Command::Serve(arguments) => serve::run(*arguments),
        Command::Worker(arguments) => worker::run(*arguments),
        Command::Generate(arguments) => generate::run(arguments),
        Command::Doctor(arguments) => doctor::run(arguments),
        Command::Store(arguments) => store::run(arguments),
        Command::Rootfs(arguments) => rootfs::run(arguments),
        Command::SandboxInit => sandbox_init::run(),
        Command::SandboxRun(arguments) => sandbox_run::run(arguments),
    }
}
