//! Why a host cannot start, or does not end well.

use std::io;
use std::path::PathBuf;

use crate::cas::StoreError;
use crate::execute::{CrossCompilerError, ExecuteError};
use crate::queue::QueueError;
use crate::remote::ConnectError;
use crate::sandbox::SandboxError;
use crate::server::transport::address::ListenError;

/// Why a host cannot start, or does not end well.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error(transparent)]
    Listen(#[from] ListenError),

    #[error(transparent)]
    Connect(#[from] ConnectError),

    #[error("cannot open the store: {0}")]
    Store(#[from] StoreError),

    #[error("cannot set up the sandbox: {0}")]
    Sandbox(#[from] SandboxError),

    #[error("cannot make room for actions: {0}")]
    Execute(#[from] ExecuteError),

    #[error("cannot make a queue: {0}")]
    Queue(#[from] QueueError),

    #[error("pool `{pool}`: cannot look at its root file system: {source}")]
    Root { pool: String, source: io::Error },

    #[error(
        "pool `{pool}`: {} cannot be its root file system: {problem}. Give the directory of one; `crosswheel rootfs` \
         makes them",
        .root.display()
    )]
    NoRoot { pool: String, root: PathBuf, problem: &'static str },

    #[error(
        "pool `{pool}`: {} is the root file system of this host itself. A pool that has none of its own sees that: leave \
         out `={}`",
        .root.display(), .root.display()
    )]
    RootOfThisHost { pool: String, root: PathBuf },

    #[error("pool `{pool}`: no action could see what it is to show: {source}")]
    NotToBeShown { pool: String, source: SandboxError },

    #[error(
        "pool `{pool}`: offers another architecture than it has: {whose} for {found}. Offer Arch={found}, or give it a root \
         file system for what it offers (NAME=ROOTFS; `crosswheel rootfs` makes them)"
    )]
    OtherArch { pool: String, whose: String, found: &'static str },

    #[error(
        "pool `{pool}` is called after another architecture than it has: {whose} for {found}. Give it a root file system for \
         that architecture ({pool}=ROOTFS; `crosswheel rootfs` makes them), or another name; if the name is meant all the \
         same, say so with Arch={found}"
    )]
    MisleadingName { pool: String, whose: String, found: &'static str },

    #[error("pool `{pool}`: its actions could not start: {problem}")]
    RunsNothing { pool: String, problem: String },

    #[error(
        "pool `{pool}`: its actions could not see the root file system it is to have, as there are no namespaces \
         here; `crosswheel doctor` says why"
    )]
    RootWithoutNamespaces { pool: String },

    #[error(
        "pool `{pool}`: its actions would see all of this host and not only its host-directory, as there are no namespaces \
         here; `crosswheel doctor` says why"
    )]
    HostDirectoriesWithoutNamespaces { pool: String },

    #[error(
        "pool `{pool}`: found no program in {} that shows its architecture; give the property Arch, as in \
         Arch=arm64, or another root",
        .root.display()
    )]
    UnknownArch { pool: String, root: PathBuf },

    #[error("pool `{pool}`: its programs are for {arch}, and cannot run here: {problem}. To mend it: {mend}")]
    NoEmulation { pool: String, arch: &'static str, problem: String, mend: String },

    #[error("pool `{pool}`: {source}")]
    CrossCompiler { pool: String, source: CrossCompilerError },

    #[error("pool `{pool}`: its programs run natively, so no cross compiler is needed: leave out cross-cc")]
    NothingToCross { pool: String },

    #[error("pool `{pool}`: the cross compiler does not work in {}: {problem}", .root.display())]
    CrossCompilerFails { pool: String, root: PathBuf, problem: String },

    #[error("cannot find what crosswheel needs to start in another root file system: {0}")]
    OwnLoader(io::Error),

    #[error("cannot describe the services: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),

    #[error("the server ended: {0}")]
    Serve(#[from] tonic::transport::Error),

    #[error("cannot {doing}: {source}")]
    Io { doing: &'static str, source: io::Error },
}

impl HostError {
    /// Whether the settings make no sense, on whichever machine.
    pub fn is_of_the_settings(&self) -> bool {
        matches!(
            self,
            Self::NoRoot { .. }
                | Self::RootOfThisHost { .. }
                | Self::NotToBeShown { .. }
                | Self::UnknownArch { .. }
                | Self::OtherArch { .. }
                | Self::MisleadingName { .. }
        )
    }

    /// The pool without which it could start, if it is about one.
    pub fn pool(&self) -> Option<&str> {
        match self {
            Self::Root { pool, .. }
            | Self::NoRoot { pool, .. }
            | Self::RootOfThisHost { pool, .. }
            | Self::NotToBeShown { pool, .. }
            | Self::OtherArch { pool, .. }
            | Self::MisleadingName { pool, .. }
            | Self::RunsNothing { pool, .. }
            | Self::RootWithoutNamespaces { pool }
            | Self::HostDirectoriesWithoutNamespaces { pool }
            | Self::UnknownArch { pool, .. }
            | Self::NoEmulation { pool, .. }
            | Self::CrossCompiler { pool, .. }
            | Self::NothingToCross { pool }
            | Self::CrossCompilerFails { pool, .. } => Some(pool),
            _ => None,
        }
    }
}
