//! Blobs into the store: written to a temporary file, hashed meanwhile, renamed. Knows nothing of who sends them.

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use rustix::fs::{AtFlags, CWD, Mode, Stat, Timespec, Timestamps, UTIME_NOW, chmodat, fstat, utimensat};
use rustix::io::Errno;

use super::eviction::{Quota, Reservation, UnfinishedUploads};
use super::files::{Files, PLAIN, Temporary, io};
use super::index::Entry;
use super::layout::Key;
use super::proofs::{WORTH_A_LOOK, stamp};
use super::store::{Core, DiskStore};
use super::upkeep::RECORD_WORTH;
use crate::cas::error::StoreError;
use crate::digest::{Digest, Hasher};

/// Fewer items than this are not worth a thread.
const PER_THREAD: usize = 32;
const MOST_THREADS: usize = 8;

/// A blob being written: dropped unfinished, it leaves nothing.
#[derive(Debug)]
pub struct Upload {
    core: Arc<Core>,
    expected: Digest,
    hasher: Hasher,
    temporary: Temporary<Arc<Files>>,
    /// Of what has come so far.
    reservation: Reservation<Arc<Quota>>,
}

impl DiskStore {
    /// Starts to write a blob in pieces. Each takes room when it comes, none before.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`] if as much as the digest says cannot be made free.
    pub fn upload(&self, digest: &Digest) -> Result<Upload, StoreError> {
        let core = Arc::clone(&self.core);
        let reservation = Quota::admit(Arc::clone(&core.quota), &core.files, digest)?;
        let temporary = Temporary::new(Arc::clone(&core.files))?;
        let hasher = digest.function.hasher();
        Ok(Upload { core, expected: *digest, hasher, temporary, reservation })
    }

    /// From now on, whoever needs room asks `uploads` for it before blobs are evicted.
    pub fn borrow_room_from(&self, uploads: Weak<dyn UnfinishedUploads>) {
        self.core.quota.borrow_from(uploads);
    }

    /// Takes a file of this file system that nobody can write to any more and whose digest is known. The file is
    /// gone from its place afterwards.
    ///
    /// # Errors
    /// Whatever the file system says; a file of another size than the digest's is refused.
    pub fn adopt(&self, digest: &Digest, file: &Path) -> Result<(), StoreError> {
        self.core.adopt(digest, file)
    }
}

impl Core {
    pub fn write_many(&self, blobs: &[(Digest, Bytes)]) -> Vec<Result<(), StoreError>> {
        in_parallel(blobs, |(digest, bytes)| self.write(digest, bytes))
    }

    fn write(&self, digest: &Digest, bytes: &Bytes) -> Result<(), StoreError> {
        let actual = digest.function.digest(bytes);
        if actual != *digest {
            return Err(StoreError::Mismatch { expected: *digest, actual });
        }
        if self.files.holds(digest)? {
            return Ok(());
        }
        let _reservation = Quota::reserve(&*self.quota, &self.files, digest)?;
        let mut temporary = Temporary::new(&*self.files)?;
        temporary.write_all(bytes).map_err(|error| write_failed(digest, error))?;
        self.publish(temporary, digest)
    }

    fn publish<F: std::ops::Deref<Target = Files>>(
        &self,
        temporary: Temporary<F>,
        digest: &Digest,
    ) -> Result<(), StoreError> {
        if self.fsync {
            temporary.file.sync_data().map_err(|error| write_failed(digest, error))?;
        }
        let now = self.files.clock.now();
        let mut entry = Entry::new(digest.hash, digest.size_bytes, now);
        entry.set_proven(now);
        // Of small ones, a system call would be a part of what it takes to store them: those are looked at later.
        if digest.size_bytes > WORTH_A_LOOK
            && let Ok(status) = fstat(&temporary.file)
        {
            entry.set_stamp(stamp(&status));
        }
        self.files.publish(temporary, &Key::blob(digest), entry, || {})
    }

    fn adopt(&self, digest: &Digest, file: &Path) -> Result<(), StoreError> {
        let failed = |error: Errno| io(&format!("adopt {}", file.display()), error);
        let status = rustix::fs::lstat(file).map_err(failed)?;
        if u64::try_from(status.st_size) != Ok(digest.size_bytes) {
            let size_bytes = u64::try_from(status.st_size).unwrap_or(0);
            return Err(StoreError::Mismatch { expected: *digest, actual: Digest { size_bytes, ..*digest } });
        }
        let there =
            || fs_err::remove_file(file).map_err(|error| io("remove a file that is in the store", error));
        if self.files.holds(digest)? {
            return there();
        }
        // It takes no more room than before, but what was not the store's is the store's now.
        let _reservation = Quota::reserve(&*self.quota, &self.files, digest)?;
        if Mode::from_raw_mode(status.st_mode) != PLAIN {
            chmodat(CWD, file, PLAIN, AtFlags::empty()).map_err(failed)?;
        }
        let now = self.files.clock.now();
        let keeps_time = self.keeps_time(&status);
        if !keeps_time {
            let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
            let times = Timestamps { last_access: now, last_modification: now };
            utimensat(CWD, file, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        }
        let key = Key::blob(digest);
        let mut table = self.files.table_mut(&key)?;
        let found = table.get(&key.hash).filter(|entry| entry.size() == digest.size_bytes);
        if found.is_some_and(|entry| self.files.proofs.is_fresh(entry, now)) {
            return there();
        }
        self.files.move_in(file, &key).map_err(failed)?;
        self.files.drop_variant(&mut table, &key);
        let mut entry = Entry::new(digest.hash, digest.size_bytes, now);
        entry.set_proven(now);
        if keeps_time {
            entry.set_stamp(stamp(&status));
        }
        table.insert(entry);
        Ok(())
    }

    /// Times in the store say when blobs were used, whatever those who made the file wanted them to say: the next start
    /// goes by them. They are let be where they are not far off, as are those of almost all outputs.
    fn keeps_time(&self, status: &Stat) -> bool {
        let clock = &self.files.clock;
        let earliest = clock.now().saturating_sub(RECORD_WORTH);
        let plausible = |seconds| clock.of_file(seconds).is_some_and(|time| time >= earliest);
        plausible(status.st_mtime) && plausible(status.st_atime)
    }
}

impl Upload {
    /// Bytes written so far.
    pub fn committed_bytes(&self) -> u64 {
        self.hasher.size_bytes()
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] as soon as there are more than the digest says, [`StoreError::NoRoom`] if there is
    /// none for them.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.hasher.update(bytes);
        if self.hasher.size_bytes() > self.expected.size_bytes {
            let (expected, actual) = (self.expected, self.hasher.clone().finish());
            return Err(StoreError::Mismatch { expected, actual });
        }
        self.reservation.grow(&self.core.files, &self.expected, self.hasher.size_bytes())?;
        self.temporary.write_all(bytes).map_err(|error| write_failed(&self.expected, error))
    }

    /// Verifies the blob and makes it visible.
    pub fn finish(self) -> Result<(), StoreError> {
        let actual = self.hasher.finish();
        if actual != self.expected {
            return Err(StoreError::Mismatch { expected: self.expected, actual });
        }
        if actual.size_bytes == 0 {
            return Ok(());
        }
        self.core.publish(self.temporary, &actual)
    }
}

impl DiskStore {
    /// As [`BlobStore::write_from`](crate::cas::traits::BlobStore::write_from). Of a blob that is there already, nothing is
    /// read from `source`.
    pub(super) fn write_stream(&self, digest: &Digest, source: &mut dyn Read) -> Result<(), StoreError> {
        if self.core.files.holds(digest)? {
            return Ok(());
        }
        let mut upload = self.upload(digest)?;
        let mut buffer = vec![0; usize::try_from(digest.size_bytes.clamp(1, 256 << 10)).unwrap_or(1)];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return upload.finish(),
                Ok(count) => upload.write(&buffer[..count])?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io("read what is to be stored", error)),
            }
        }
    }
}

/// Does the same to many items, on several threads if there are enough. Results are in order.
pub(super) fn in_parallel<T: Sync, R: Send>(items: &[T], run: impl Fn(&T) -> R + Sync) -> Vec<R> {
    // Looked up only when it matters: the answer takes a dozen system calls.
    let threads = match (items.len() / PER_THREAD).min(MOST_THREADS) {
        0 | 1 => 1,
        wanted => wanted.min(std::thread::available_parallelism().map_or(1, |cores| cores.get())),
    };
    if threads == 1 {
        return items.iter().map(run).collect();
    }
    let part = items.len().div_ceil(threads);
    let run = &run;
    std::thread::scope(|scope| {
        let mut parts = items.chunks(part);
        let own = parts.next().unwrap_or_default();
        let others: Vec<_> =
            parts.map(|part| scope.spawn(move || part.iter().map(run).collect::<Vec<R>>())).collect();
        let mut results: Vec<R> = own.iter().map(run).collect();
        for other in others {
            match other.join() {
                Ok(more) => results.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    })
}

/// A full disk is another matter than a broken one.
pub(super) fn write_failed(digest: &Digest, error: std::io::Error) -> StoreError {
    match Errno::from_io_error(&error) {
        Some(Errno::NOSPC | Errno::DQUOT) => StoreError::NoRoom {
            digest: *digest,
            reason: format!("{error}; make room on the disk, or limit the store (max-bytes)"),
            passes: true,
        },
        _ => io(&format!("write blob {digest}"), error),
    }
}
