//! What the store promises, seen from outside.

mod bytes;
mod eviction;
mod files;
mod linking;
mod model;
mod proofs;

use std::path::PathBuf;

use super::*;
use crate::cas::disk::links::FileMode;
use crate::cas::traits::{ActionCache, BlobStore};
use crate::digest::DigestFunction;

/// A store in a temporary directory.
struct Scene {
    store: DiskStore,
    settings: StoreSettings,
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut StoreSettings)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = StoreSettings {
            directory: directory.path().to_owned(),
            min_free_bytes: 0,
            ..StoreSettings::default()
        };
        change(&mut settings);
        Self { store: DiskStore::open(&settings).unwrap(), settings, directory }
    }

    /// As after a restart, with something done in between.
    fn reopened(self, between: impl FnOnce(&std::path::Path)) -> Self {
        let Self { store, settings, directory } = self;
        drop(store);
        between(directory.path());
        Self { store: DiskStore::open(&settings).unwrap(), settings, directory }
    }

    fn add(&self, bytes: &[u8]) -> Digest {
        let digest = DigestFunction::Sha256.digest(bytes);
        self.store.write(&digest, Bytes::copy_from_slice(bytes)).unwrap();
        digest
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        Key::blob(digest).name().below(self.directory.path())
    }

    fn is_there(&self, digest: &Digest) -> bool {
        self.store.find_missing(&[*digest]).unwrap().is_empty()
    }

    fn later(&self, seconds: u32) {
        self.store.core.files.clock.ahead.fetch_add(seconds, Relaxed);
    }

    /// Names of all files in `tmp`.
    fn temporary_files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.directory.path().join(layout::TEMPORARY)];
        while let Some(directory) = open.pop() {
            for entry in fs_err::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { open.push(path) } else { found.push(path) }
            }
        }
        found
    }
}
