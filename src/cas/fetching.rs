//! A store on disk in front of a remote one, as workers have it: what actions need is fetched once, and what they
//! make goes to both. Knows nothing of actions.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::disk::DiskStore;
use super::error::StoreError;
use super::traits::BlobStore;
use crate::digest::Digest;

/// Larger blobs are fetched as streams, straight onto the disk.
const IN_MEMORY: u64 = 1 << 20;
/// Bytes that are fetched into memory before they are written to disk.
const BATCH_BYTES: u64 = 32 << 20;

/// A store on disk in front of another, which has the last word on what is there.
#[derive(Clone)]
pub struct FetchingStore {
    local: DiskStore,
    remote: Arc<dyn BlobStore>,
    flights: Arc<Flights>,
}

/// Blobs on their way, so that nothing is fetched twice at a time.
#[derive(Default)]
struct Flights {
    underway: Mutex<HashSet<Digest>>,
    landed: Condvar,
}

/// Some of the blobs on their way; they have landed, or never will, when it is dropped.
struct Flight<'a> {
    flights: &'a Flights,
    digests: Vec<Digest>,
}

impl FetchingStore {
    /// `remote` seen through `local`.
    pub fn new(local: DiskStore, remote: Arc<dyn BlobStore>) -> Self {
        Self { local, remote, flights: Arc::default() }
    }

    /// The store on disk: to pin and link what was fetched.
    pub fn local(&self) -> &DiskStore {
        &self.local
    }

    /// Sees to it that blobs are on disk, each with its own outcome, in the order given. Those that others are
    /// fetching are waited for. Pin them next: as they have just been used, none goes before that.
    pub fn fetch(&self, digests: &[Digest]) -> Vec<Result<(), StoreError>> {
        let mut failures: HashMap<Digest, StoreError> = HashMap::new();
        let mut pending: HashSet<Digest> = digests.iter().copied().collect();
        loop {
            let mut missing = match self.local.find_unsound(&pending.iter().copied().collect::<Vec<_>>()) {
                Ok(missing) => missing,
                Err(error) => return digests.iter().map(|_| Err(error.again())).collect(),
            };
            missing.retain(|digest| !failures.contains_key(digest));
            if missing.is_empty() {
                break;
            }
            match self.flights.take_off(&missing) {
                Some(flight) => {
                    // Some may have landed since we looked.
                    let mine = self.local.find_missing(&flight.digests).unwrap_or(flight.digests.clone());
                    for (digest, outcome) in mine.iter().zip(self.fetch_now(&mine)) {
                        if let Err(error) = outcome {
                            failures.insert(*digest, error);
                        }
                    }
                }
                None => self.flights.wait_for(&missing),
            }
            pending = missing.into_iter().collect();
        }
        let outcome = |digest: &Digest| failures.get(digest).map_or(Ok(()), |error| Err(error.again()));
        digests.iter().map(outcome).collect()
    }

    fn fetch_now(&self, digests: &[Digest]) -> Vec<Result<(), StoreError>> {
        let mut outcomes: HashMap<Digest, Result<(), StoreError>> = HashMap::new();
        let (small, large): (Vec<Digest>, Vec<Digest>) =
            digests.iter().partition(|digest| digest.size_bytes <= IN_MEMORY);
        for batch in batches(&small) {
            let mut blobs = Vec::new();
            for (digest, read) in batch.iter().zip(self.remote.read_many(batch)) {
                match read {
                    Ok(bytes) => blobs.push((*digest, bytes)),
                    Err(error) => {
                        outcomes.insert(*digest, Err(error));
                    }
                }
            }
            let written = self.local.write_many(&blobs);
            outcomes.extend(blobs.into_iter().map(|(digest, _)| digest).zip(written));
        }
        for digest in large {
            let fetched =
                self.remote.open(&digest, 0).and_then(|mut blob| self.local.write_from(&digest, &mut blob));
            outcomes.insert(digest, fetched);
        }
        let outcome = |digest: &Digest| outcomes.remove(digest).unwrap_or(Err(StoreError::NotFound(*digest)));
        digests.iter().map(outcome).collect()
    }
}

fn batches(digests: &[Digest]) -> Vec<&[Digest]> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, digest) in digests.iter().enumerate() {
        if bytes + digest.size_bytes > BATCH_BYTES {
            batches.push(&digests[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += digest.size_bytes;
    }
    batches.push(&digests[start..]);
    batches
}

impl Flights {
    /// Those of `digests` that nobody else is fetching; nothing if there are none.
    fn take_off(&self, digests: &[Digest]) -> Option<Flight<'_>> {
        let mut underway = self.underway.lock();
        let digests: Vec<Digest> =
            digests.iter().copied().filter(|digest| underway.insert(*digest)).collect();
        drop(underway);
        if digests.is_empty() { None } else { Some(Flight { flights: self, digests }) }
    }

    /// Waits until one of `digests` has landed.
    fn wait_for(&self, digests: &[Digest]) {
        let mut underway = self.underway.lock();
        while digests.iter().all(|digest| underway.contains(digest)) {
            self.landed.wait(&mut underway);
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut underway = self.flights.underway.lock();
        for digest in &self.digests {
            underway.remove(digest);
        }
        self.flights.landed.notify_all();
    }
}

impl BlobStore for FetchingStore {
    /// What the remote store lacks, whether or not it is here: nobody else could get it from here.
    fn find_missing(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        self.remote.find_missing(digests)
    }

    fn read(&self, digest: &Digest) -> Result<Bytes, StoreError> {
        self.read_many(&[*digest]).pop().unwrap_or(Err(StoreError::NotFound(*digest)))
    }

    fn read_many(&self, digests: &[Digest]) -> Vec<Result<Bytes, StoreError>> {
        let fetched = self.fetch(digests);
        let read = self.local.read_many(digests);
        // Why it could not be fetched says more than that it is not here.
        fetched.into_iter().zip(read).map(|(fetched, read)| fetched.and(read)).collect()
    }

    fn open(&self, digest: &Digest, offset: u64) -> Result<Box<dyn Read + Send>, StoreError> {
        self.fetch(&[*digest]).into_iter().collect::<Result<(), _>>()?;
        BlobStore::open(&self.local, digest, offset)
    }

    /// To both; a blob that only one of them took is an error.
    fn write_many(&self, blobs: &[(Digest, Bytes)]) -> Vec<Result<(), StoreError>> {
        let here = self.local.write_many(blobs);
        let there = self.remote.write_many(blobs);
        here.into_iter().zip(there).map(|(here, there)| here.and(there)).collect()
    }

    /// To the disk first, and from there to the remote store.
    fn write_from(&self, digest: &Digest, source: &mut dyn Read) -> Result<(), StoreError> {
        self.local.write_from(digest, source)?;
        let mut open = || Ok(Box::new(self.local.file(digest).map_err(io::Error::other)?) as Box<dyn Read>);
        self.remote.write_reopening(digest, &mut open)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;
    use crate::cas::disk::StoreSettings;
    use crate::digest::DigestFunction;
    use crate::waiting::scope;

    /// A store that counts what is read from it.
    struct Counting {
        store: DiskStore,
        read: AtomicUsize,
    }

    impl BlobStore for Counting {
        fn find_missing(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
            self.store.find_missing(digests)
        }

        fn read(&self, digest: &Digest) -> Result<Bytes, StoreError> {
            self.store.read(digest)
        }

        fn read_many(&self, digests: &[Digest]) -> Vec<Result<Bytes, StoreError>> {
            self.read.fetch_add(digests.len(), Relaxed);
            std::thread::yield_now();
            self.store.read_many(digests)
        }

        fn open(&self, digest: &Digest, offset: u64) -> Result<Box<dyn Read + Send>, StoreError> {
            self.read.fetch_add(1, Relaxed);
            BlobStore::open(&self.store, digest, offset)
        }

        fn write_many(&self, blobs: &[(Digest, Bytes)]) -> Vec<Result<(), StoreError>> {
            self.store.write_many(blobs)
        }

        fn write_from(&self, digest: &Digest, source: &mut dyn Read) -> Result<(), StoreError> {
            self.store.write_from(digest, source)
        }
    }

    struct Scene {
        fetching: FetchingStore,
        remote: Arc<Counting>,
        _directories: [tempfile::TempDir; 2],
    }

    fn scene() -> Scene {
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let open = |directory: &tempfile::TempDir| {
            let directory = directory.path().to_owned();
            DiskStore::open(&StoreSettings { directory, ..StoreSettings::default() }).unwrap()
        };
        let remote = Arc::new(Counting { store: open(&directories[1]), read: AtomicUsize::new(0) });
        let fetching = FetchingStore::new(open(&directories[0]), Arc::clone(&remote) as Arc<dyn BlobStore>);
        Scene { fetching, remote, _directories: directories }
    }

    fn blobs() -> Vec<(Digest, Bytes)> {
        let sizes = (0..200).chain([1 << 20, (1 << 20) + 1, 3 << 20]);
        let bytes = sizes.map(|size| Bytes::from(vec![(size % 251) as u8; size]));
        bytes.map(|bytes| (DigestFunction::Blake3.digest(&bytes), bytes)).collect()
    }

    #[test]
    fn many_who_want_the_same_fetch_it_once() {
        let scene = scene();
        let blobs = blobs();
        scene.remote.write_many(&blobs).into_iter().for_each(Result::unwrap);
        let digests: Vec<Digest> = blobs.iter().map(|(digest, _)| *digest).collect();
        scope("fetches of the same", |scope| {
            for thread in 0..6 {
                let (scene, digests, blobs) = (&scene, &digests, &blobs);
                scope.spawn(move || {
                    // Each wants another part first.
                    let from = thread * 30;
                    scene.fetching.fetch(&digests[from..]).into_iter().for_each(Result::unwrap);
                    for (read, (_, bytes)) in scene.fetching.read_many(digests).into_iter().zip(blobs) {
                        assert_eq!(read.unwrap(), bytes);
                    }
                });
            }
        });
        // All but the empty one, which is everywhere.
        assert_eq!(scene.remote.read.load(Relaxed), blobs.len() - 1);
        scene.fetching.local().pin(&digests).unwrap();
    }

    #[test]
    fn what_nobody_has_is_missing_by_name() {
        let scene = scene();
        let there = DigestFunction::Sha256.digest(b"there");
        let missing = DigestFunction::Sha256.digest(b"missing");
        let large = DigestFunction::Sha256.digest(&vec![1; 2 << 20]);
        scene.remote.write(&there, "there".into()).unwrap();
        let outcomes = scene.fetching.fetch(&[missing, there, large, missing]);
        assert!(matches!(outcomes[0], Err(StoreError::NotFound(digest)) if digest == missing));
        assert!(outcomes[1].is_ok());
        assert!(matches!(outcomes[2], Err(StoreError::NotFound(digest)) if digest == large));
        assert!(matches!(outcomes[3], Err(StoreError::NotFound(_))));
        assert!(matches!(scene.fetching.read(&missing), Err(StoreError::NotFound(_))));
        scene.remote.write(&missing, "missing".into()).unwrap();
        assert_eq!(scene.fetching.read(&missing).unwrap(), &b"missing"[..], "a failure is not remembered");
    }

    #[test]
    fn what_is_written_is_in_both_and_only_the_remote_counts() {
        let scene = scene();
        let (small, large) = (Bytes::from_static(b"small"), Bytes::from(vec![5; 3 << 20]));
        let digests = [&small, &large].map(|bytes| DigestFunction::Sha256.digest(bytes));
        scene.fetching.write(&digests[0], small).unwrap();
        scene.fetching.write_from(&digests[1], &mut &large[..]).unwrap();
        assert_eq!(scene.remote.find_missing(&digests).unwrap(), []);
        assert_eq!(scene.fetching.local().find_missing(&digests).unwrap(), []);

        let here = DigestFunction::Sha256.digest(b"only here");
        scene.fetching.local().write(&here, "only here".into()).unwrap();
        assert_eq!(scene.fetching.find_missing(&[here]).unwrap(), [here]);
        assert_eq!(scene.fetching.read(&here).unwrap(), &b"only here"[..]);
    }
}
