//! When the lock file rules and when it is written.
//! Knows nothing of its format.

use std::path::Path;

use super::lock::{Lock, LockedSdist};
use super::resolution::Resolution;
use crate::build::builder::Builder;
use crate::build::inputs::sdists::Sdist;
use crate::build::run::Run;
use crate::contract::Failure;
use crate::scratch::file::{self, FileAccess};

impl Run {
    /// The lock that decides what is installed, if one does.
    pub(crate) fn lock_in_use(&self) -> Option<&Lock> {
        self.lock.as_ref().filter(|_| !self.options.update_lock)
    }

    /// The lock file that is written, if one is: one that does not rule.
    pub(crate) fn lock_to_write(&self) -> Option<&Path> {
        let is_written = self.lock_in_use().is_none() || self.options.lock_grows;
        self.options.lock.as_deref().filter(|_| is_written)
    }

    /// Writes the lock file with `entries`, if it is one that is written and they are news to it.
    pub(crate) fn write_lock(&self, entries: Vec<LockedSdist>) -> Result<(), Failure> {
        let Some(path) = self.lock_to_write() else { return Ok(()) };
        let mut lock = self.lock.clone().unwrap_or_else(Lock::empty);
        lock.update(entries);
        if self.lock.as_ref() == Some(&lock) {
            return Ok(());
        }
        let write = || file::write(path, lock.to_text().as_bytes(), FileAccess::Mode(0o644));
        Ok(self.interrupt.publishing(write)?)
    }
}

impl Builder {
    /// The lock that decides what `sdist` is built with, if one does.
    pub(crate) fn lock_for(&self, sdist: &Sdist) -> Option<&Lock> {
        let knows = |lock: &&Lock| {
            lock.knows(&sdist.name(), sdist.facts.version.as_ref(), sdist.sha256, &self.environment)
        };
        self.run.lock_in_use().filter(|lock| !self.run.options.lock_grows || knows(lock))
    }

    /// Lock entries of `sdist`, built with `resolution`, and of those built for it.
    pub(crate) fn lock_entries(&self, sdist: &Sdist, resolution: &Resolution) -> Vec<LockedSdist> {
        let entry = LockedSdist {
            name: sdist.name(),
            version: sdist.facts.version.clone(),
            sha256: sdist.sha256,
            url: sdist.url.as_ref().map(ToString::to_string),
            python: self.environment.python.clone(),
            target: self.target,
            requirements: resolution.wheels.iter().map(|wheel| wheel.locked()).collect(),
        };
        [std::slice::from_ref(&entry), &resolution.built].concat()
    }
}
