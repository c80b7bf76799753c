//! Why an action could not be run. gRPC codes are assigned elsewhere.

use std::io;

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

    #[error("cannot {doing}: {source}")]
    Io { doing: String, source: io::Error },
}

impl ExecuteError {
    pub(super) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), problem: problem.into() }
    }

    /// For `map_err`: what was attempted when an I/O error came.
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Io { doing: doing.into(), source }
    }
}

fn first(missing: &[MissingInput]) -> String {
    missing.first().map(|input| format!("{} ({})", input.role, input.digest)).unwrap_or_default()
}
