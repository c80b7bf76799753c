//! For who runs many commands. Knows nothing of what they do.

use std::path::PathBuf;
use std::sync::Arc;

use super::error::SandboxError;
use super::isolation::{Isolation, Sandbox};
use super::own_executable::OwnExecutable;
use super::spec::{RootFileSystem, Spec};
use super::tree::ProcessTree;
use super::zygote::Zygote;
use super::zygote_pool::{PoolSlot, ZygoteKind, ZygotePool};
use crate::contract::SandboxMode;

/// Starts commands, any number of them at a time and from any thread, each in a process that stands ready for
/// it and is used again for later ones. There is one more of those than there were ever commands at a time, but
/// no more than a few for each processor, network and root are kept. They see the host's mounts, and what is at the top
/// of its file system, as they were when they were started, keep those in use, and are replaced after some seconds of use.
///
/// Dropping the spawner ends those that are idle; commands that run go on.
#[derive(Debug)]
pub struct Spawner {
    sandbox: Sandbox,
    pool: Arc<ZygotePool>,
}

impl Spawner {
    /// Finds out what this host allows, as [`Sandbox::prepare`] does, and keeps what was built for that: the first
    /// command finds it ready. `hidden` is as there.
    ///
    /// # Errors
    /// Those of [`Sandbox::detect`].
    pub fn detect(
        mode: SandboxMode,
        init_executable: OwnExecutable,
        hidden: &[PathBuf],
    ) -> Result<Self, SandboxError> {
        let (sandbox, zygote, network) = Sandbox::prepare_for_many(mode, init_executable, hidden)?;
        let kind = ZygoteKind { network, root: RootFileSystem::Host };
        Ok(Self::with(sandbox, zygote.map(|zygote| (kind, zygote))))
    }

    /// A spawner of commands that get what those of `sandbox` get.
    ///
    /// # Errors
    /// None today; starting what commands need is left to the first of them.
    pub fn start(sandbox: &Sandbox) -> Result<Self, SandboxError> {
        Ok(Self::with(sandbox.clone(), None))
    }

    fn with(sandbox: Sandbox, unused: Option<(ZygoteKind, Zygote)>) -> Self {
        /// Enough that as many commands as anybody runs at a time find one that has been idle for a while.
        const PER_PROCESSOR: usize = 8;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { sandbox, pool: Arc::new(ZygotePool::new(PER_PROCESSOR * processors, unused)) }
    }

    /// What every command gets.
    pub fn isolation(&self) -> &Isolation {
        self.sandbox.isolation()
    }

    /// Directories of which no command sees anything; without links.
    pub fn hidden(&self) -> &[PathBuf] {
        self.sandbox.hidden()
    }

    /// As [`Sandbox::spawn`].
    ///
    /// # Errors
    /// Those of [`Sandbox::spawn`].
    pub fn spawn(&self, spec: Spec) -> Result<ProcessTree, SandboxError> {
        let kind = ZygoteKind { network: self.sandbox.network(&spec), root: spec.root.clone() };
        let slot = PoolSlot::new(&self.pool, kind.clone());
        self.sandbox.spawn_in(|| self.pool.take(&kind), Some(slot), spec)
    }
}
