//! Why an action could not be run. gRPC codes are assigned elsewhere.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::quota::Exceeded;
use crate::cas::StoreError;
use crate::digest::Digest;
use crate::sandbox::SandboxError;

/// A blob an action needs and the store lacks (REAPI: a `PreconditionFailure` violation of type `MISSING`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingInput {
    pub digest: Digest,
    /// What it is to the action, in words: "the input file `src/a.c`", "the command".
    pub role: String,
}

/// Why an action was not run, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The client is to upload these and ask again.
    #[error("{} blobs that the action needs are not in the store, the first is {}", .0.len(), first(.0))]
    MissingInputs(Vec<MissingInput>),

    /// The action, command or an input directory is not what it must be. `field` is a path in its message, as
    /// in `command.output_paths[2]`.
    #[error("{field}: {problem}")]
    Invalid { field: String, problem: String },

    /// Well-formed, but it cannot be had here or not like this (REAPI: FAILED_PRECONDITION): another version of
    /// crosswheel, an output that is a socket. Says what to do.
    #[error("{0}")]
    Refused(String),

    /// Somebody cancelled it; nothing of it is left.
    #[error("the action was cancelled")]
    Cancelled,

    #[error(transparent)]
    Store(#[from] StoreError),

    #[error(transparent)]
    Sandbox(#[from] SandboxError),

    /// This machine failed, or has run short of something.
    #[error("cannot {doing}{place}: {source}")]
    Io { doing: &'static str, place: Place, source: io::Error },

    /// It took more than it may have.
    #[error(transparent)]
    Exceeded(#[from] Exceeded),
}

/// Where something failed. What clients are told has only their own names for things.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Place {
    #[default]
    Unsaid,
    /// As the client calls it.
    Clients(String),
    /// On this machine.
    Ours(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsaid => Ok(()),
            Self::Clients(name) => write!(formatter, " `{name}`"),
            Self::Ours(path) => write!(formatter, " {path:?}"),
        }
    }
}

impl Place {
    /// What of it a client may know.
    pub fn for_clients(&self) -> &Self {
        match self {
            Self::Ours(_) => &Self::Unsaid,
            known => known,
        }
    }
}

impl ExecuteError {
    pub(super) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), problem: problem.into() }
    }

    /// For `map_err`: what was attempted when an I/O error came. Fixed words, as clients are told them.
    pub(super) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, place: Place::Unsaid, source }
    }

    /// As [`ExecuteError::io`], with a path of this machine that only its log is to have.
    pub(super) fn io_at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, place: Place::Ours(path.to_owned()), source }
    }
}

fn first(missing: &[MissingInput]) -> String {
    missing.first().map(|input| format!("{} ({})", input.role, input.digest)).unwrap_or_default()
}
