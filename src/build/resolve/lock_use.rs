//! When the lock file rules and when it is written.
//! Knows nothing of its format.

use std::path::Path;

use url::Url;

use super::build_requirements::locked_url;
use super::lock::{Lock, LockedSdist, Product, drift};
use super::resolution::Resolution;
use crate::build::builder::Builder;
use crate::build::inputs::sdists::{Sdist, SdistOrigin};
use crate::build::inputs::tree_place::TreePlace;
use crate::build::run::Run;
use crate::contract::Failure;
use crate::digest::Sha256;
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
        let entries = entries.into_iter().map(|entry| self.portable(entry)).collect();
        let mut lock = self.lock.clone().unwrap_or_else(Lock::empty);
        lock.update(entries);
        if self.lock.as_ref() == Some(&lock) {
            return Ok(());
        }
        let write = || file::write(path, lock.to_text().as_bytes(), FileAccess::Mode(0o644));
        Ok(self.interrupt.publishing(write)?)
    }
}

impl Run {
    /// `entry` as another machine can read it: with the path of a local file from where the lock is.
    fn portable(&self, mut entry: LockedSdist) -> LockedSdist {
        let url = entry.url.as_deref().and_then(|url| Url::parse(url).ok());
        let file = url.filter(|url| url.scheme() == "file").and_then(|url| url.to_file_path().ok());
        if let Some(file) = file {
            let file = std::fs::canonicalize(&file).unwrap_or(file);
            // With a dot, none is taken for a URL.
            entry.url = self.path_for_lock(&file).ok().map(|path| match path.starts_with("../") {
                true => path,
                false => format!("./{path}"),
            });
        }
        entry
    }

    /// Where the sdist is whose URL, or path from where the lock is, the lock says.
    pub(crate) fn locked_place(&self, text: &str) -> Result<Url, Failure> {
        if !text.starts_with(['.', '/']) {
            return locked_url(text);
        }
        let lock = self.options.lock.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        let path = std::env::current_dir()?.join(lock).join(text);
        let path = std::fs::canonicalize(&path)
            .map_err(|error| drift(format!("the sdist `{text}` that the lock names: {error}")))?;
        Url::from_file_path(&path).map_err(|()| drift(format!("the lock's `{text}` is no path")))
    }
}

impl Builder {
    /// The lock that decides what `sdist` is built with, if one does.
    pub(crate) fn lock_for(&self, sdist: &Sdist) -> Option<&Lock> {
        let Some(origin) = &sdist.origin else {
            let (name, version) = (sdist.name(), sdist.facts.version.as_ref());
            return self.lock_that(|lock| lock.knows(&name, version, sdist.sha256, &self.environment));
        };
        self.lock_for_tree(&origin.place, None)
    }

    /// The lock that decides with what `product` is built of the source tree at `place`, if one does.
    pub(crate) fn lock_for_tree(&self, place: &TreePlace, product: Option<Product>) -> Option<&Lock> {
        self.lock_that(|lock| lock.knows_tree(place, product, &self.environment))
    }

    /// The lock in use; one that grows only if it `knows` what is asked.
    fn lock_that(&self, knows: impl Fn(&Lock) -> bool) -> Option<&Lock> {
        self.run.lock_in_use().filter(|lock| !self.run.options.lock_grows || knows(lock))
    }

    /// The text of the entry that decides what `sdist` is built with, among those that are `new` or in the lock.
    pub(crate) fn lock_text(
        &self,
        sha256: Sha256,
        origin: Option<&SdistOrigin>,
        new: &[LockedSdist],
    ) -> Option<String> {
        self.run.options.lock.as_ref()?;
        let is_it = |entry: &&LockedSdist| {
            let of_it = match origin {
                Some(origin) => entry.is_of_tree(&origin.place, None),
                None => entry.sha256 == Some(sha256),
            };
            of_it && entry.is_for(&self.environment)
        };
        let old = self.run.lock.as_ref().map(Lock::entries).unwrap_or_default();
        let new = new.iter().find(is_it).map(|entry| self.run.portable(entry.clone()).to_text());
        new.or_else(|| old.iter().find(is_it).map(LockedSdist::to_text))
    }

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
