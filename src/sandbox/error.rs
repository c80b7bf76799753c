//! What can go wrong between a specification and a running command. Knows nothing of how it is started.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;

use serde::{Deserialize, Serialize};

use super::set_up::{SetUpCause, SetUpFailure};

/// Why a command could not be started or watched. That a command ran and failed is no error of the sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("the command is empty")]
    EmptyCommand,

    #[error("{role} {path:?} {problem}")]
    InvalidPath { role: &'static str, path: PathBuf, problem: &'static str },

    #[error("{what} {value:?} {problem}")]
    InvalidString { what: &'static str, value: OsString, problem: &'static str },

    #[error("cannot show {host:?} as {inside:?}: that takes namespaces, which this sandbox does not have")]
    NoFixedPath { host: PathBuf, inside: PathBuf },

    #[error("cannot {doing}: that takes namespaces, which this sandbox does not have")]
    NoNamespaces { doing: &'static str },

    #[error("{count} overlays are too many; there may be {most}")]
    TooManyOverlays { count: usize, most: usize },

    #[error("cannot mount an overlay on {inside:?}: this host does not allow {reason}")]
    NoOverlays { inside: PathBuf, reason: String },

    /// [`SandboxMode::Required`](crate::contract::SandboxMode::Required) on a host without namespaces. `remedy` is what its operator
    /// can do.
    #[error("a full sandbox is required, but this host refuses one: {reason}. {remedy}")]
    NamespacesUnavailable { reason: String, remedy: String },

    #[error("cannot start the sandbox init {executable:?}: {source}")]
    StartInit { executable: PathBuf, source: io::Error },

    #[error("cannot {doing} the sandbox init: {source}")]
    Control { doing: &'static str, source: io::Error },

    /// A step of the set-up failed, most often because of a path in the specification.
    #[error(transparent)]
    SetUp(#[from] SetUpFailure),

    #[error("cannot run {program:?}: {fault}")]
    Program { program: OsString, fault: ProgramFault },

    /// Somebody killed the init (the kernel, short of memory, or an operator), or it failed in a way it could
    /// not report.
    #[error("the sandbox init ended without a report ({status}){}{said}", if said.is_empty() { "" } else { ": " })]
    InitDied { status: ExitStatus, said: String },

    #[error(
        "the process tree did not die within {seconds} seconds of being killed; processes may be left behind"
    )]
    Unkillable { seconds: u64 },
}

impl SandboxError {
    /// Whether this host has run out of something, so that what failed may work at another time.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::SetUp(failure) => match failure.cause {
                // The kernel says so of namespaces, too. Where none are allowed at all, it always will.
                SetUpCause::Errno(libc::ENOSPC | libc::EUSERS) => !namespaces_are_forbidden(),
                SetUpCause::Errno(errno) => is_shortage(errno),
                _ => false,
            },
            Self::StartInit { source, .. } | Self::Control { source, .. } => {
                source.raw_os_error().is_some_and(is_shortage)
            }
            // The kernel kills so if it is short of memory.
            Self::InitDied { status, .. } => status.signal() == Some(libc::SIGKILL),
            _ => false,
        }
    }
}

fn is_shortage(errno: i32) -> bool {
    matches!(errno, libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE | libc::ENOSPC | libc::EBUSY)
}

/// Whether this host allows no namespace of one of the kinds that a sandbox takes, however few there are.
fn namespaces_are_forbidden() -> bool {
    let kinds = ["user", "mnt", "pid", "ipc", "uts", "net"];
    kinds.iter().any(|kind| {
        let setting = format!("/proc/sys/user/max_{kind}_namespaces");
        fs_err::read_to_string(setting).is_ok_and(|most| most.trim() == "0")
    })
}

/// Why the kernel would not start a program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ProgramFault {
    #[error("no such program")]
    NotFound,
    #[error("it is not executable")]
    NotExecutable,
    #[error("it exists, but the interpreter named in its `#!` line or its ELF header does not")]
    InterpreterMissing,
    #[error("it is made for another kind of machine, or no program at all (exec format error)")]
    WrongFormat,
    #[error("permission denied, for it or for the interpreter it names")]
    PermissionDenied,
    /// Of the program, an argument or a variable; no specification lets one pass.
    #[error("what it is started with contains a NUL byte")]
    NulByte,
    /// The kernel refused with this error number (errno(3)).
    #[error("{}", io::Error::from_raw_os_error(*.0))]
    Errno(i32),
}
