//! What builds for each target of a run. Knows nothing of sources.

use std::sync::{Arc, OnceLock};

use super::builder::Builder;
use super::progress::Task;
use super::run::Run;
use super::targets::destination::Destination;
use crate::contract::Failure;
use crate::platform::Arch;

/// What builds for each target, made when it is first needed.
pub(super) struct Builders {
    pub(super) run: Arc<Run>,
    /// In the order in which they were given.
    pub(super) destinations: Vec<Destination>,
    builders: Vec<OnceLock<Result<Builder, Failure>>>,
}

impl Builders {
    /// Nothing that builds yet.
    pub(super) fn new(run: Run, destinations: Vec<Destination>) -> Self {
        let builders = destinations.iter().map(|_| OnceLock::new()).collect();
        Self { run: Arc::new(run), destinations, builders }
    }

    /// What builds for the destination at `index`. The first who asks waits until its Python is known; `task` says so.
    ///
    /// # Errors
    /// What fails every source for this target.
    pub(super) fn builder(&self, index: usize, task: &Task) -> Result<&Builder, Failure> {
        let make = || Builder::new(Arc::clone(&self.run), &self.destinations[index], task);
        self.builders[index].get_or_init(make).as_ref().map_err(Clone::clone)
    }

    /// The order in which a source is built: first for a platform like this machine's, where it takes least, as the
    /// others may share the wheel.
    pub(super) fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.destinations.len()).collect();
        order.sort_by_key(|index| self.destinations[*index].target.arch != Arch::host());
        order
    }

    /// What `name` is called while something is done with it for the destination at `index`.
    pub(super) fn label(&self, name: &str, index: usize) -> String {
        match &*self.destinations {
            [_] => name.to_owned(),
            several => format!("{name} {}", several[index].target),
        }
    }
}
