//! What can go wrong between a specification and a running command. Knows nothing of how it is started.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use serde::{Deserialize, Serialize};

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

    #[error("cannot {wanted}: that takes namespaces, which this sandbox does not have")]
    NoNamespaces { wanted: &'static str },

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
    #[error("cannot {step}: {error}")]
    SetUp { step: String, error: String, fault: SetUpFault },

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

/// What a failed step of the set-up says of the next attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetUpFault {
    /// Overlays cannot be made of the file systems on which these directories are: one is an overlay itself, or
    /// lacks what one needs. No overlay of directories there will ever be mounted.
    NoOverlaysThere,
    /// Nothing: a path, a shortage of memory, a host that changed.
    #[default]
    Other,
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
    #[error("{0}")]
    Other(String),
}
