//! The command line: one thin file per subcommand. Knows nothing of how anything is done.

mod build;
mod doctor;
mod executor;
mod failure_text;
mod generate;
mod output;
mod remote;
mod rootfs;
mod sandbox_init;
mod sandbox_run;
mod serve;
mod signals;
mod store;
mod wheel;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

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
    Wheel(Box<wheel::WheelArguments>),
    Serve(Box<serve::ServeArguments>),
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
        Command::Wheel(arguments) => wheel::run(*arguments),
        Command::Serve(arguments) => serve::run(*arguments),
        Command::Generate(arguments) => generate::run(arguments),
        Command::Doctor(arguments) => doctor::run(arguments),
        Command::Store(arguments) => store::run(arguments),
        Command::Rootfs(arguments) => rootfs::run(arguments),
        Command::SandboxInit => sandbox_init::run(),
        Command::SandboxRun(arguments) => sandbox_run::run(arguments),
    }
}

/// The directories given with `flag`, absolute and without links, as whoever runs elsewhere needs them.
fn directories(flag: &str, given: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let find = |path: &PathBuf| match fs_err::canonicalize(path) {
        Ok(found) if found.is_dir() => Ok(found),
        Ok(_) => Err(format!("{flag} `{}` is not a directory", path.display())),
        Err(error) => Err(format!("{flag}: {error}")),
    };
    given.iter().map(find).collect()
}

/// The cache directory: as given, or `crosswheel` in the user's cache directory (XDG Base Directory).
fn cache_directory(given: Option<PathBuf>) -> Result<PathBuf, String> {
    let from_variable = |name, below: &str| {
        std::env::var_os(name).filter(|value| !value.is_empty()).map(|value| PathBuf::from(value).join(below))
    };
    let directory = given
        .or_else(|| from_variable("XDG_CACHE_HOME", "crosswheel").filter(|path| path.is_absolute()))
        .or_else(|| from_variable("HOME", ".cache/crosswheel"))
        .ok_or("there is no cache directory: HOME is not set; give --cache-dir DIR")?;
    std::path::absolute(&directory).map_err(|error| format!("cannot use {}: {error}", directory.display()))
}

/// The directory of the store on disk: as given, or `store` in the cache directory.
fn store_directory(given: Option<PathBuf>) -> Result<PathBuf, String> {
    match given {
        Some(directory) => std::path::absolute(&directory)
            .map_err(|error| format!("cannot use {}: {error}", directory.display())),
        None => Ok(cache_directory(None)
            .map_err(|message| message.replace("--cache-dir", "--store"))?
            .join("store")),
    }
}
