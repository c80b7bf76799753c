//! `crosswheel sandbox-run`: any command in a sandbox, to find out why a build does not see or cannot do
//! something.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::output::complain;
use crate::contract::SandboxMode;
use crate::deadline::{self, LONGEST_SECONDS};
use crate::sandbox::{
    Bind, Outcome, OwnExecutable, ResourceLimits, RootFileSystem, Sandbox, SandboxError, Spec,
};

/// Exits with the code of the command, with 128 and the number of the signal that ended it, with 124 when its
/// time was up, and with 125 when it could not be run.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// How much of a sandbox to insist on.
    #[arg(long, value_enum, default_value_t)]
    sandbox: SandboxMode,
    /// Show a host directory, read-only, at another path.
    #[arg(long, value_name = "HOST:INSIDE")]
    bind: Vec<String>,
    /// Show a host directory at another path, and let the command write to it.
    #[arg(long, value_name = "HOST:INSIDE")]
    bind_writable: Vec<String>,
    /// Keep a host path visible even below /tmp, /var/tmp and /run.
    #[arg(long, value_name = "PATH")]
    visible: Vec<PathBuf>,
    /// Directory to run in, as the command sees it.
    #[arg(long, value_name = "PATH", default_value = "/")]
    working_directory: PathBuf,
    /// Set a variable. The environment is empty but for these.
    #[arg(long, value_name = "NAME=VALUE", default_value = "PATH=/usr/local/bin:/usr/bin:/bin")]
    env: Vec<String>,
    /// Let the command use the network.
    #[arg(long)]
    network: bool,
    /// Kill the command and all it started after this time.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=LONGEST_SECONDS))]
    timeout: Option<u64>,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

pub(super) fn run(arguments: Arguments) -> ExitCode {
    match run_in_sandbox(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(&format!("crosswheel: {error}"));
            ExitCode::from(125)
        }
    }
}

/// Why a command could not be run.
#[derive(Debug, thiserror::Error)]
enum NotRun {
    #[error("cannot find this executable: {0}")]
    NoExecutable(#[source] io::Error),
    #[error("{pair:?} is not {form}")]
    NoPair { pair: String, form: &'static str },
    #[error("cannot pass on a standard stream: {0}")]
    Stream(#[from] io::Error),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

fn run_in_sandbox(arguments: Arguments) -> Result<u8, NotRun> {
    let init = OwnExecutable::running().map_err(NotRun::NoExecutable)?;
    let sandbox = Sandbox::detect(arguments.sandbox, init)?;
    for lost in &sandbox.isolation().lost {
        complain(&format!("crosswheel: this host does not allow {lost}"));
    }
    let mut binds = Vec::new();
    for (pairs, writable) in [(&arguments.bind, false), (&arguments.bind_writable, true)] {
        for pair in pairs {
            let (host, inside) = split(pair, ':', "HOST:INSIDE")?;
            binds.push(Bind { host: host.into(), inside: inside.into(), writable });
        }
    }
    let variables = arguments.env.iter().map(|pair| -> Result<_, NotRun> {
        let (name, value) = split(pair, '=', "NAME=VALUE")?;
        Ok((name.into(), value.into()))
    });
    let tree = sandbox.spawn(Spec {
        argv: arguments.command,
        env: variables.collect::<Result<_, _>>()?,
        working_directory: arguments.working_directory,
        binds,
        root: RootFileSystem::Host,
        overlays: Vec::new(),
        visible_host_paths: arguments.visible,
        stdin: Some(io::stdin().as_fd().try_clone_to_owned()?),
        stdout: io::stdout().as_fd().try_clone_to_owned()?,
        stderr: Some(io::stderr().as_fd().try_clone_to_owned()?),
        network: arguments.network,
        limits: ResourceLimits::default(),
    })?;
    let timeout = arguments.timeout.map(Duration::from_secs);
    let deadline = timeout.map(|timeout| deadline::after(Instant::now(), timeout));
    let exit = tree.wait(deadline)?;
    Ok(match exit.outcome {
        _ if exit.timed_out => 124,
        Outcome::Code(code) => u8::try_from(code).unwrap_or(u8::MAX),
        Outcome::Signal(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
    })
}

fn split<'p>(pair: &'p str, at: char, form: &'static str) -> Result<(&'p str, &'p str), NotRun> {
    pair.split_once(at).ok_or_else(|| NotRun::NoPair { pair: pair.to_owned(), form })
}
