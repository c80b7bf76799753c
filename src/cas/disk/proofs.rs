//! What is known of whether blobs are what they were: how old a proof may be, who is at it, how many there were. Knows
//! nothing of how it is found out.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::index::Entry;
use super::layout::Key;

/// What is known of a blob without a look at the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Missing,
    /// It is there, but nobody has looked at its bytes for too long.
    Doubtful,
    Sound,
}

/// What the file of a blob looks like to whoever has opened it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// As it did when its bytes were proven.
    Same,
    /// Somebody has written to it since.
    Changed,
    /// It cannot be the blob: the size is another one, or it is no file.
    Wrong,
}

/// What became of a file that was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    Sound,
    Broken,
    /// Another file has its place by now, that of an upload perhaps.
    Replaced,
}

/// Proofs of this process.
#[derive(Debug)]
pub(super) struct Proofs {
    /// Seconds that a proof is good for; 0 is for ever.
    good_for: u32,
    /// Blobs that somebody hashes: whoever wants the same waits for that.
    underway: Mutex<HashSet<Key>>,
    done: Condvar,
    /// Files that were found not to be what they must be.
    damaged: AtomicU64,
    /// How often somebody else has written to a file.
    written: AtomicU64,
    /// Blobs that had to be hashed to be used, and their bytes.
    proven: AtomicU64,
    proven_bytes: AtomicU64,
}

/// The right to prove a blob, until it is dropped.
pub(super) struct Turn<'a> {
    proofs: &'a Proofs,
    key: Key,
}

/// How often a file may be replaced while it is looked at. Uploads do so once.
pub(super) const ATTEMPTS: usize = 4;

impl Proofs {
    pub fn new(reverify: Duration) -> Self {
        // What is shorter than our seconds is no less of a wish for new proofs.
        let seconds = reverify.as_secs() + u64::from(reverify.subsec_nanos() > 0);
        Self {
            good_for: u32::try_from(seconds).unwrap_or(u32::MAX),
            underway: Mutex::default(),
            done: Condvar::new(),
            damaged: AtomicU64::new(0),
            written: AtomicU64::new(0),
            proven: AtomicU64::new(0),
            proven_bytes: AtomicU64::new(0),
        }
    }

    pub fn is_fresh(&self, entry: &Entry, now: u32) -> bool {
        entry.proven_at() != 0
            && (self.good_for == 0 || now.saturating_sub(entry.proven_at()) < self.good_for)
    }

    /// How long a proof is good for, if not for ever.
    pub fn good_for(&self) -> Option<Duration> {
        (self.good_for > 0).then(|| Duration::from_secs(self.good_for.into()))
    }

    pub fn damaged(&self) -> u64 {
        self.damaged.load(Relaxed)
    }

    /// Blobs that had to be hashed to be used, and their bytes.
    pub fn proven(&self) -> (u64, u64) {
        (self.proven.load(Relaxed), self.proven_bytes.load(Relaxed))
    }

    /// A file was found not to be what it must be.
    pub fn count_damaged(&self) {
        self.damaged.fetch_add(1, Relaxed);
    }

    /// Somebody else has written to a file.
    pub fn count_written(&self) {
        self.written.fetch_add(1, Relaxed);
    }

    /// Changes when links to a file of the store may have become no good.
    pub fn doubts(&self) -> u64 {
        self.damaged() + self.written.load(Relaxed)
    }

    /// A blob was hashed.
    pub fn count_proven(&self, bytes: u64) {
        self.proven.fetch_add(1, Relaxed);
        self.proven_bytes.fetch_add(bytes, Relaxed);
    }

    /// Waits until nobody else hashes the blob.
    pub fn turn(&self, key: Key) -> Turn<'_> {
        let mut underway = self.underway.lock();
        while !underway.insert(key) {
            self.done.wait(&mut underway);
        }
        Turn { proofs: self, key }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.proofs.underway.lock().remove(&self.key);
        self.proofs.done.notify_all();
    }
}

/// Of smaller blobs, one more system call would be a part of what it takes to read or write them.
pub(super) const WORTH_A_LOOK: u64 = 16 << 10;

/// Whether an error says that something is wrong with a file, rather than with us.
pub(super) fn is_damage(error: Errno) -> bool {
    const DAMAGE: [Errno; 8] = [
        Errno::LOOP,
        Errno::ISDIR,
        Errno::ACCESS,
        Errno::PERM,
        Errno::NXIO,
        Errno::NODEV,
        Errno::IO,
        Errno::UCLEAN,
    ];
    DAMAGE.contains(&error)
}

pub(super) fn is_file(status: &Stat) -> bool {
    FileType::from_raw_mode(status.st_mode) == FileType::RegularFile
}

/// What shows that somebody has written to a file.
pub(super) fn stamp(status: &Stat) -> u32 {
    stamp_of(status.st_mtime, status.st_mtime_nsec)
}

/// A time of modification in 32 bits, of which none is 0.
pub(super) fn stamp_of(seconds: i64, nanoseconds: impl TryInto<u32>) -> u32 {
    let seconds = (seconds as u32).wrapping_mul(0x9e37_79b1);
    (seconds ^ nanoseconds.try_into().unwrap_or(0)).max(1)
}
