//! A store in a directory, put together: opened, asked and told through the traits of all stores. Knows nothing of the
//! network.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use super::eviction::Quota;
use super::files::{Files, io};
use super::layout;
use super::layout::{Key, Kind};
use super::settings::StoreSettings;
use super::shared_lru_cache::SharedLruCache;
use super::sweep;
use super::upkeep::Upkeep;
use crate::cas::error::StoreError;
use crate::cas::traits::{ActionCache, BlobStore};
use crate::digest::Digest;
use crate::reapi::ActionResult;

/// Memory for results of actions that are asked for again and again.
const RESULTS_IN_MEMORY_BYTES: usize = 32 << 20;
/// Memory for small blobs, likewise.
const BLOBS_IN_MEMORY_BYTES: usize = 64 << 20;

/// A store in a directory. Clones are the same store; with the last one its background threads end.
#[derive(Debug, Clone)]
pub struct DiskStore {
    pub(super) core: Arc<Core>,
    /// Dropped before `core`'s files are let go.
    _upkeep: Arc<Upkeep>,
}

#[derive(Debug)]
pub(super) struct Core {
    pub(super) files: Arc<Files>,
    pub(super) quota: Arc<Quota>,
    pub(super) recent_blobs: SharedLruCache<Bytes>,
    pub(super) recent_results: SharedLruCache<Arc<ActionResult>>,
    pub(super) fsync: bool,
    /// Keeps other processes out while it is open.
    _lock: std::fs::File,
}

/// Keeps blobs from being evicted while it lives.
#[derive(Debug)]
pub struct Pins {
    files: Arc<Files>,
    digests: Vec<Digest>,
}

/// How much is in a store. While [`listed`](Self::listed) is false, what is known so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreUsage {
    pub blobs: u64,
    /// Bytes of all blobs.
    pub blob_bytes: u64,
    pub results: u64,
    pub result_bytes: u64,
    /// Bytes of disk that all of them take.
    pub disk_bytes: u64,
    /// Files evicted since the start, and their bytes.
    pub evicted: u64,
    pub evicted_bytes: u64,
    /// Files that were found not to be what they must be, since the start.
    pub damaged: u64,
    /// Blobs that were hashed before they were used, since the start, and their bytes.
    pub proven: u64,
    pub proven_bytes: u64,
    /// All directories have been listed.
    pub listed: bool,
}

impl DiskStore {
    /// Opens the store in a directory, which is made if there is none. Takes no longer when there is more in it:
    /// directories are listed in the background, and what is asked for before that is looked up.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if another process has it open.
    pub fn open(settings: &StoreSettings) -> Result<Self, StoreError> {
        fs_err::create_dir_all(&settings.directory).map_err(|error| io("make the store", error))?;
        let directory =
            std::path::absolute(&settings.directory).map_err(|error| io("find the store", error))?;
        let lock = lock(&directory)?;
        sweep::set_aside(&directory).map_err(|error| io("clean up the store", error))?;
        let root =
            rustix::fs::open(&directory, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|error| io("open the store", error))?;
        let files = Arc::new(Files::new(settings, directory, root)?);
        let quota = Arc::new(Quota::new(settings));
        let upkeep = Upkeep::start(Arc::clone(&files), Arc::clone(&quota))?;
        let core = Core {
            files,
            quota,
            recent_blobs: SharedLruCache::new(BLOBS_IN_MEMORY_BYTES),
            recent_results: SharedLruCache::new(RESULTS_IN_MEMORY_BYTES),
            fsync: settings.fsync,
            _lock: lock,
        };
        Ok(Self { core: Arc::new(core), _upkeep: Arc::new(upkeep) })
    }

    /// A directory on the file system of the blobs for materialised input trees. What is in it and starts with a
    /// dot when the store is opened was not finished, and is removed.
    pub fn trees_directory(&self) -> PathBuf {
        self.core.files.directory.join(layout::TREES)
    }

    /// A directory on the file system of the blobs for the scratch files of running actions. Empty when the store
    /// is opened: what an earlier process left is removed.
    pub fn work_directory(&self) -> PathBuf {
        self.core.files.directory.join(layout::WORK)
    }

    /// Counts the files that were found not to be what they must be, or that others have written to. When it has changed,
    /// links to what was one of them may be no good.
    pub fn damage_count(&self) -> u64 {
        self.core.files.proofs.doubts()
    }

    /// How long the bytes of a blob are taken to be what they were, if there is an end to it.
    pub fn reverify(&self) -> Option<Duration> {
        self.core.files.proofs.good_for()
    }

    /// Keeps `digests` until the pins are dropped.
    ///
    /// # Errors
    /// Those that are not there; then none is pinned.
    pub fn pin(&self, digests: &[Digest]) -> Result<Pins, Vec<Digest>> {
        let (pins, missing) = self.pin_present(digests);
        if missing.is_empty() { Ok(pins) } else { Err(missing) }
    }

    /// As [`pin`](Self::pin), of those that are there. Names the others.
    pub fn pin_present(&self, digests: &[Digest]) -> (Pins, Vec<Digest>) {
        let files = &self.core.files;
        let now = files.clock.now();
        let mut pins = Pins { files: Arc::clone(files), digests: Vec::with_capacity(digests.len()) };
        let mut missing = Vec::new();
        for digest in digests {
            if *digest == Digest::empty(digest.function) {
                continue;
            }
            match files.table_mut(&Key::blob(digest)) {
                Ok(mut table)
                    if table.get(&digest.hash).is_some_and(|entry| entry.size() == digest.size_bytes) =>
                {
                    table.pin(digest.hash);
                    table.get(&digest.hash).into_iter().for_each(|entry| entry.touch(now));
                    pins.digests.push(*digest);
                }
                _ => missing.push(*digest),
            }
        }
        (pins, missing)
    }

    /// Evicts what was used least recently until no more than `max_bytes` of disk are taken, or nothing is left
    /// that may go: what is pinned or was just used stays.
    pub fn prune(&self, max_bytes: u64) -> Result<StoreUsage, StoreError> {
        self.core.quota.prune(&self.core.files, max_bytes)?;
        Ok(self.usage())
    }

    /// Bytes that are to stay free on the disk, whoever writes to it.
    pub fn min_free_bytes(&self) -> u64 {
        self.core.quota.min_free()
    }

    /// Has blobs evicted in the background, as far as may be, until as much is free as is to stay free.
    pub fn make_room(&self) {
        self.core.quota.upkeep.notify();
    }

    /// How much is in the store.
    pub fn usage(&self) -> StoreUsage {
        let Core { files, quota, .. } = &*self.core;
        let (blobs, results) = (files.index.total(Kind::Blob), files.index.total(Kind::Result));
        let (evicted, evicted_bytes) = quota.evicted();
        let (proven, proven_bytes) = files.proofs.proven();
        StoreUsage {
            blobs: blobs.files.load(Relaxed),
            blob_bytes: blobs.bytes.load(Relaxed),
            results: results.files.load(Relaxed),
            result_bytes: results.bytes.load(Relaxed),
            disk_bytes: files.index.space(),
            evicted,
            evicted_bytes,
            damaged: files.proofs.damaged(),
            proven,
            proven_bytes,
            listed: layout::Shard::all().all(|shard| files.index.is_loaded(shard)),
        }
    }
}

impl Pins {
    /// How many blobs it keeps; one that it keeps twice counts twice.
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// Whether it keeps none.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// Keeps what `other` keeps, too.
    pub fn join(&mut self, mut other: Self) {
        debug_assert!(Arc::ptr_eq(&self.files, &other.files), "pins of different stores");
        self.digests.append(&mut other.digests);
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let now = self.files.clock.now();
        for digest in &self.digests {
            // It was listed when it was pinned, so this cannot fail but for a directory that has to be listed again.
            if let Ok(mut table) = self.files.table_mut(&Key::blob(digest)) {
                table.unpin(&digest.hash);
                table.get(&digest.hash).into_iter().for_each(|entry| entry.touch(now));
            }
        }
    }
}

impl BlobStore for DiskStore {
    fn find_missing(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        self.core.find_missing(digests)
    }

    fn find_unsound(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        self.core.find_unsound(digests)
    }

    fn read(&self, digest: &Digest) -> Result<Bytes, StoreError> {
        self.core.read(digest)
    }

    fn read_many(&self, digests: &[Digest]) -> Vec<Result<Bytes, StoreError>> {
        self.core.read_many(digests)
    }

    fn open(&self, digest: &Digest, offset: u64) -> Result<Box<dyn Read + Send>, StoreError> {
        Ok(Box::new(self.core.open_at(digest, offset)?))
    }

    fn write_many(&self, blobs: &[(Digest, Bytes)]) -> Vec<Result<(), StoreError>> {
        self.core.write_many(blobs)
    }

    fn write_from(&self, digest: &Digest, source: &mut dyn Read) -> Result<(), StoreError> {
        self.write_stream(digest, source)
    }
}

impl ActionCache for DiskStore {
    fn get(&self, instance_name: &str, action: &Digest) -> Result<Option<ActionResult>, StoreError> {
        Ok(self.core.result(instance_name, action)?.map(Arc::unwrap_or_clone))
    }

    fn put(&self, instance_name: &str, action: &Digest, result: &ActionResult) -> Result<(), StoreError> {
        self.core.put_result(instance_name, action, result)
    }
}

/// Keeps other processes out.
pub(super) fn lock(directory: &std::path::Path) -> Result<std::fs::File, StoreError> {
    let path = directory.join(layout::LOCK);
    let mut file = fs_err::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| io("lock the store", error))?
        .into_parts()
        .0;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let holder = fs_err::read_to_string(&path).unwrap_or_default().trim().to_owned();
            return Err(StoreError::InUse { directory: directory.to_owned(), holder });
        }
        Err(error) => return Err(io("lock the store", error)),
    }
    // For people; the lock itself is what counts.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "process {}", std::process::id()));
    Ok(file)
}

#[cfg(test)]
mod tests;
