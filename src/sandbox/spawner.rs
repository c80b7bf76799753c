//! For who runs many commands. Knows nothing of what they do.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::error::SandboxError;
use super::isolation::{Isolation, Sandbox};
use super::message::Network;
use super::nursery::Nursery;
use super::own_executable::OwnExecutable;
use super::spec::{RootFileSystem, Spec};
use super::tree::ProcessTree;
use crate::contract::SandboxMode;

/// Starts commands, any number of them at a time and from any thread, each in a process that stands ready for
/// it and is used again for later ones. There is one more of those than there were ever commands at a time, but
/// no more than a few for each processor, network and root are kept. They see the host's mounts as they were when
/// they were started, and keep those in use.
///
/// Dropping the spawner ends those that are idle; commands that run go on.
#[derive(Debug)]
pub struct Spawner {
    sandbox: Sandbox,
    idle: Arc<Idle>,
}

/// What a nursery was built for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    network: Network,
    root: RootFileSystem,
}

/// Nurseries without a command, by kind. The one that has been idle the longest is used first: it takes a moment to
/// clean up after one command and to prepare for another, which nobody has to wait for then.
#[derive(Debug)]
struct Idle {
    nurseries: Mutex<HashMap<Kind, VecDeque<Nursery>>>,
    /// One that has not run any command yet.
    unused: Mutex<Option<(Kind, Nursery)>>,
    /// How many of each kind are kept.
    most: usize,
}

/// The place that a nursery goes back to.
#[derive(Debug)]
pub(super) struct Home {
    idle: Weak<Idle>,
    kind: Kind,
}

impl Spawner {
    /// Finds out what this host allows, as [`Sandbox::detect`] does, and keeps what was built for that: the first
    /// command finds it ready.
    ///
    /// # Errors
    /// Those of [`Sandbox::detect`].
    pub fn detect(mode: SandboxMode, init_executable: OwnExecutable) -> Result<Self, SandboxError> {
        let (sandbox, nursery, network) = Sandbox::prepare_for_many(mode, init_executable)?;
        let spawner = Self::start(&sandbox)?;
        let kind = Kind { network, root: RootFileSystem::Host };
        *spawner.idle.unused.lock() = nursery.map(|nursery| (kind, nursery));
        Ok(spawner)
    }

    /// A spawner of commands that get what those of `sandbox` get.
    ///
    /// # Errors
    /// None today; starting what commands need is left to the first of them.
    pub fn start(sandbox: &Sandbox) -> Result<Self, SandboxError> {
        /// Enough that as many commands as anybody runs at a time find one that has been idle for a while.
        const PER_PROCESSOR: usize = 8;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let most = PER_PROCESSOR * processors;
        let idle = Idle { nurseries: Mutex::default(), unused: Mutex::default(), most };
        Ok(Self { sandbox: sandbox.clone(), idle: Arc::new(idle) })
    }

    /// What every command gets.
    pub fn isolation(&self) -> &Isolation {
        self.sandbox.isolation()
    }

    /// As [`Sandbox::spawn`].
    ///
    /// # Errors
    /// Those of [`Sandbox::spawn`].
    pub fn spawn(&self, spec: Spec) -> Result<ProcessTree, SandboxError> {
        let kind = Kind { network: self.sandbox.network(&spec), root: spec.root.clone() };
        let home = Home { idle: Arc::downgrade(&self.idle), kind: kind.clone() };
        self.sandbox.spawn_in(|| self.idle.take(&kind), Some(home), spec)
    }
}

impl Idle {
    fn take(&self, kind: &Kind) -> Option<Nursery> {
        let unused = {
            let mut unused = self.unused.lock();
            unused.take_if(|(of_kind, _)| of_kind == kind)
        };
        if let Some((_, mut nursery)) = unused
            && nursery.is_alive()
        {
            return Some(nursery);
        }
        loop {
            let mut nursery = {
                let mut nurseries = self.nurseries.lock();
                let of_this_kind = nurseries.get_mut(kind)?;
                // The last one has perhaps only just ended a command.
                if of_this_kind.len() < 2 {
                    return None;
                }
                of_this_kind.pop_front()?
            };
            // One that somebody killed is replaced without a word.
            if nursery.is_alive() {
                return Some(nursery);
            }
        }
    }
}

impl Home {
    pub(super) fn take_back(&self, nursery: Nursery) {
        let Some(idle) = self.idle.upgrade() else { return };
        let mut nurseries = idle.nurseries.lock();
        let of_this_kind = nurseries.entry(self.kind.clone()).or_default();
        if of_this_kind.len() < idle.most {
            of_this_kind.push_back(nursery);
        } else {
            drop(nurseries);
            drop(nursery);
        }
    }
}
