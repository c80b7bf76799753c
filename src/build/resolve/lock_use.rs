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
        self.options.lock.as_deref().filter(|_| self.lock_in_use().is_none())
    }

    /// Writes the lock file if it is not the one that ruled.
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
    /// Lock entries of `sdist`, built with `resolution`, and of those built for it.
    pub(crate) fn lock_entries(&self, sdist: &Sdist, resolution: &Resolution) -> Vec<LockedSdist> {
        let place = sdist.origin.as_ref().map(|origin| &origin.place);
        let entry = LockedSdist {
            name: sdist.name(),
            // A version that is found out may be another one with the next commit.
            version: sdist.facts.version.clone().filter(|_| place.is_none()),
            sha256: place.is_none().then_some(sdist.sha256),
            tree: place.map(|place| place.tree.clone()),
            commit: place.and_then(|place| place.commit.clone()),
            builds: None,
            url: sdist.url.as_ref().map(ToString::to_string),
            python: self.environment.python.clone(),
            target: self.target,
            requirements: resolution.wheels.iter().map(|wheel| wheel.locked()).collect(),
        };
        let made = sdist.origin.as_ref().map(|origin| origin.locks.as_slice()).unwrap_or_default();
        [std::slice::from_ref(&entry), &resolution.built, made].concat()
    }
}
