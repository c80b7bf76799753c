//! A store on disk in front of a remote one, as workers have it: what actions need is fetched once and kept as long as
//! they need it, and what they make goes to both. Knows nothing of actions.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;

use super::disk::{DiskStore, Pins};
use super::error::StoreError;
use super::remote::read_failed;
use super::traits::BlobStore;
use super::transfers::{IN_MEMORY, Transfers, jobs, still_wanted};
use crate::cancellation::HangUp;
use crate::digest::Digest;

/// How often a blob may be gone between its arrival and the look at it, before the store is taken to be too small.
const LOSSES: usize = 3;
/// Blobs that are looked at before somebody asks whether that is still wanted: they may have to be hashed.
const LOOKS: usize = 256;
/// Bytes between two looks at who waits.
const PIECE: usize = 256 << 10;

/// A store on disk in front of another, which has the last word on what is there. Clones are the same.
#[derive(Clone)]
pub struct FetchingStore {
    local: DiskStore,
    remote: Arc<dyn BlobStore>,
    transfers: Transfers,
    hang_up: HangUp,
}

/// Why blobs are not all on disk.
#[derive(Debug, thiserror::Error)]
pub enum Unpinned {
    /// Neither store has these.
    #[error("{} blobs are not in the store", .0.len())]
    Missing(Vec<Digest>),
    #[error(transparent)]
    Failed(#[from] StoreError),
}

/// Blobs that are on disk, and what became of the others.
struct Held {
    pins: Pins,
    failures: HashMap<Digest, StoreError>,
}

/// What came of one job.
struct Landing {
    pins: Pins,
    missing: Vec<Digest>,
    /// How many of its blobs were its own to fetch.
    asked: usize,
}

impl FetchingStore {
    /// `remote` seen through `local`. Whoever fetches into the same store shares `transfers`.
    pub fn new(local: DiskStore, remote: Arc<dyn BlobStore>, transfers: Transfers) -> Self {
        Self { local, remote, transfers, hang_up: HangUp::default() }
    }

    /// As it is, but everything ends with an error as soon as nobody waits for it. What the remote store does is another
    /// matter.
    #[must_use]
    pub fn until(self, hang_up: HangUp) -> Self {
        Self { hang_up, ..self }
    }

    /// The store on disk: to link what was fetched.
    pub fn local(&self) -> &DiskStore {
        &self.local
    }

    /// Those of `digests` that the remote store has not got, whether or not they are here. Nobody else could get them
    /// from here.
    pub fn missing_upstream(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        self.remote.find_missing(digests)
    }

    /// Has blobs on disk, where they stay until the pins are dropped. Those that others are fetching are waited for.
    ///
    /// # Errors
    /// [`Unpinned::Missing`] with all that are nowhere.
    pub fn pin(&self, digests: &[Digest]) -> Result<Pins, Unpinned> {
        match self.pin_present(digests)? {
            (pins, missing) if missing.is_empty() => Ok(pins),
            (_, missing) => Err(Unpinned::Missing(missing)),
        }
    }

    /// As [`pin`](Self::pin), of those that are anywhere. Names the others.
    ///
    /// # Errors
    /// Whatever keeps one from being fetched that may be there.
    pub fn pin_present(&self, digests: &[Digest]) -> Result<(Pins, Vec<Digest>), StoreError> {
        let Held { pins, failures } = self.hold(digests);
        let mut missing = Vec::new();
        for (digest, error) in failures {
            match error {
                StoreError::NotFound(_) => missing.push(digest),
                error => return Err(error),
            }
        }
        Ok((pins, missing))
    }

    /// Fetches the directories in and below `root` by one call, if the remote store has one for that. Perhaps not all.
    ///
    /// # Errors
    /// Those of the store on disk.
    pub fn fetch_directories(&self, root: &Digest) -> Result<(), StoreError> {
        let mut take = |directories: Vec<(Digest, Bytes)>| {
            still_wanted(&self.hang_up)?;
            self.local.write_many(&directories).into_iter().collect()
        };
        self.remote.read_directories(root, &mut take).map(drop)
    }

    /// Puts blobs that are on disk into the remote store, where they are not there yet.
    ///
    /// # Errors
    /// The first that is met.
    pub fn send(&self, digests: &[Digest]) -> Result<(), StoreError> {
        let missing = self.remote.find_missing(digests)?;
        self.transfers.run(&jobs(&missing), &self.hang_up, |job| self.send_job(job)).map(drop)
    }

    fn send_job(&self, digests: &[Digest]) -> Result<(), StoreError> {
        let gone = |error| match error {
            StoreError::NotFound(digest) => {
                StoreError::Damaged(format!("blob {digest} was to be sent, and is gone"))
            }
            error => error,
        };
        if let [digest] = digests
            && digest.size_bytes > IN_MEMORY
        {
            let mut open = || {
                let file = self.local.file(digest).map_err(gone).map_err(io::Error::other)?;
                Ok(Box::new(file) as Box<dyn Read>)
            };
            return self.remote.write_reopening(digest, &mut open).map_err(not_taken);
        }
        let read = self.local.read_many(digests).into_iter().zip(digests);
        let blobs = read.map(|(bytes, digest)| Ok((*digest, bytes.map_err(gone)?)));
        let blobs: Vec<(Digest, Bytes)> = blobs.collect::<Result<_, StoreError>>()?;
        self.remote.write_many(&blobs).into_iter().try_for_each(|written| written.map_err(not_taken))
    }

    fn hold(&self, digests: &[Digest]) -> Held {
        let (none, _) = self.local.pin_present(&[]);
        let mut held = Held { pins: none, failures: HashMap::new() };
        let distinct: HashSet<Digest> = digests.iter().copied().collect();
        let mut pending: Vec<Digest> = distinct.into_iter().collect();
        let mut losses = 0;
        while !pending.is_empty() {
            let round = self.pin_sound(&mut held.pins, &pending).and_then(|mut absent| {
                absent.retain(|digest| !held.failures.contains_key(digest));
                pending = absent;
                self.fetch(&pending, &mut held)
            });
            match round {
                Ok(lost) if losses + usize::from(lost) <= LOSSES => losses += usize::from(lost),
                Ok(_) => {
                    let reason =
                        "the store evicts what was just fetched; give it more room (max-bytes)".to_owned();
                    let full = |digest: &Digest| StoreError::NoRoom {
                        digest: *digest,
                        reason: reason.clone(),
                        passes: true,
                    };
                    held.failures.extend(pending.iter().map(|digest| (*digest, full(digest))));
                    break;
                }
                Err(error) => {
                    held.failures.extend(pending.iter().map(|digest| (*digest, error.again())));
                    break;
                }
            }
        }
        held
    }

    /// Pins those that are here and are what they should be. Returns the others.
    fn pin_sound(&self, pins: &mut Pins, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        let mut absent = Vec::new();
        for some in digests.chunks(LOOKS) {
            still_wanted(&self.hang_up)?;
            let unsound: HashSet<Digest> = self.local.find_unsound(some)?.into_iter().collect();
            let sound: Vec<Digest> =
                some.iter().copied().filter(|digest| !unsound.contains(digest)).collect();
            let (pinned, gone) = self.local.pin_present(&sound);
            pins.join(pinned);
            absent.extend(unsound);
            absent.extend(gone);
        }
        Ok(absent)
    }

    /// Fetches those that nobody else does, or waits for others. Returns whether any was gone when it had just come.
    fn fetch(&self, digests: &[Digest], held: &mut Held) -> Result<bool, StoreError> {
        if digests.is_empty() {
            return Ok(false);
        }
        let landings = self.transfers.run(&jobs(digests), &self.hang_up, |job| self.fetch_job(job))?;
        let mut asked = 0;
        let mut settled = 0;
        for Landing { pins, missing, asked: own } in landings {
            asked += own;
            settled += pins.len() + missing.len();
            held.pins.join(pins);
            held.failures.extend(missing.into_iter().map(|digest| (digest, StoreError::NotFound(digest))));
        }
        if asked == 0 {
            self.transfers.wait_for(digests, &self.hang_up);
            still_wanted(&self.hang_up)?;
        }
        Ok(settled < asked)
    }

    fn fetch_job(&self, digests: &[Digest]) -> Result<Landing, StoreError> {
        let flight = self.transfers.take_off(digests);
        // Some may have landed since we looked.
        let (mut pins, wanted) = self.local.pin_present(&flight.digests);
        let mut missing = Vec::new();
        if let [digest] = wanted[..]
            && digest.size_bytes > IN_MEMORY
        {
            match self.fetch_large(&digest) {
                Ok(()) => {}
                Err(StoreError::NotFound(_)) => missing.push(digest),
                Err(error) => return Err(not_sent(error)),
            }
        } else if !wanted.is_empty() {
            let mut blobs = Vec::with_capacity(wanted.len());
            for (digest, read) in wanted.iter().zip(self.remote.read_many(&wanted)) {
                match read {
                    Ok(bytes) => blobs.push((*digest, bytes)),
                    Err(StoreError::NotFound(_)) => missing.push(*digest),
                    Err(error) => return Err(not_sent(error)),
                }
            }
            self.local.write_many(&blobs).into_iter().collect::<Result<(), _>>()?;
        }
        // At once: whoever needs room next takes it from what nobody has pinned.
        pins.join(self.local.pin_present(&wanted).0);
        Ok(Landing { pins, missing, asked: flight.digests.len() })
    }

    fn fetch_large(&self, digest: &Digest) -> Result<(), StoreError> {
        let mut blob = self.remote.open(digest, 0)?;
        let mut upload = self.local.upload(digest)?;
        let mut buffer = vec![0; PIECE];
        loop {
            still_wanted(&self.hang_up)?;
            match blob.read(&mut buffer) {
                Ok(0) => return upload.finish(),
                Ok(count) => upload.write(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(read_failed(digest, error)),
            }
        }
    }
}

/// Bytes that are not those of their digest are the other store's failure, which may pass; ours is not damaged.
fn not_sent(error: StoreError) -> StoreError {
    let message = match error {
        StoreError::Damaged(message) => message,
        error @ StoreError::Mismatch { .. } => error.to_string(),
        error => return error,
    };
    StoreError::Remote { doing: "send what it has".to_owned(), message, exhausted: false }
}

/// What was taken was ours, so neither is it missing nor has somebody else said what it is.
fn not_taken(error: StoreError) -> StoreError {
    match error {
        StoreError::NotFound(digest) => StoreError::Remote {
            doing: format!("take blob {digest}"),
            message: "it says that it is not there".to_owned(),
            exhausted: false,
        },
        StoreError::Mismatch { expected, actual } => {
            StoreError::Damaged(format!("what was to be sent for {expected} has the digest {actual}"))
        }
        error => error,
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
        let held = self.hold(digests);
        let read = self.local.read_many(digests).into_iter().zip(digests);
        // Why it could not be fetched says more than that it is not here.
        read.map(|(read, digest)| held.failures.get(digest).map_or(read, |error| Err(error.again())))
            .collect()
    }

    fn open(&self, digest: &Digest, offset: u64) -> Result<Box<dyn Read + Send>, StoreError> {
        let held = self.hold(&[*digest]);
        match held.failures.get(digest) {
            Some(error) => Err(error.again()),
            None => BlobStore::open(&self.local, digest, offset),
        }
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
        let fetching = FetchingStore::new(
            open(&directories[0]),
            Arc::clone(&remote) as Arc<dyn BlobStore>,
            Transfers::default(),
        );
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
                    drop(scene.fetching.pin(&digests[from..]).unwrap());
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
        let Err(Unpinned::Missing(mut named)) = scene.fetching.pin(&[missing, there, large, missing]) else {
            panic!("two are nowhere");
        };
        named.sort_unstable();
        let mut expected = [missing, large];
        expected.sort_unstable();
        assert_eq!(named, expected);
        assert_eq!(scene.fetching.local().find_missing(&[there]).unwrap(), []);
        assert!(matches!(scene.fetching.read(&missing), Err(StoreError::NotFound(_))));
        scene.remote.write(&missing, "missing".into()).unwrap();
        assert_eq!(scene.fetching.read(&missing).unwrap(), &b"missing"[..], "a failure is not remembered");
    }

    #[test]
    fn a_blob_that_was_damaged_here_is_fetched_again() {
        let scene = scene();
        let bytes = Bytes::from(vec![9; 100_000]);
        let digest = DigestFunction::Sha256.digest(&bytes);
        scene.fetching.write(&digest, bytes.clone()).unwrap();
        let Scene { fetching, remote, _directories: directories } = scene;
        drop(fetching);
        let file = directories[0].path().join("cas").join(&digest.hex()[..2]).join(digest.hex());
        fs_err::write(&file, vec![8; 100_000]).unwrap();
        let directory = directories[0].path().to_owned();
        let local = DiskStore::open(&StoreSettings { directory, ..StoreSettings::default() }).unwrap();
        let remote = Arc::clone(&remote) as Arc<dyn BlobStore>;
        let fetching = FetchingStore::new(local, remote, Transfers::default());
        let _pins = fetching.pin(&[digest]).unwrap();
        assert_eq!(fetching.local().read(&digest).unwrap(), bytes);
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
