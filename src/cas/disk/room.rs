//! How much may be in the store, and what goes when that is too much: what was used least recently, but nothing
//! that is pinned or was just used. Knows nothing of who writes.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::{AtFlags, statat};

use super::StoreSettings;
use super::files::Files;
use super::index::{Inode, space_of};
use super::layout::{Key, Shard};
use super::upkeep::Bell;
use crate::cas::StoreError;
use crate::digest::Digest;

/// How long the free space of the disk is taken to be what it was, less what we wrote.
const FREE_SPACE_HOLDS: Duration = Duration::from_secs(1);

/// Room in the store.
#[derive(Debug)]
pub(super) struct Room {
    limits: Option<Limits>,
    min_free: u64,
    keep_after_use: Duration,
    /// Space that is being written to.
    reserved: AtomicU64,
    free: Mutex<FreeSpace>,
    /// Held by whoever evicts: two at a time would evict twice as much.
    evicting: Mutex<()>,
    evicted_files: AtomicU64,
    evicted_bytes: AtomicU64,
    pub bell: Bell,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    max: u64,
    high: u64,
    low: u64,
}

#[derive(Debug)]
struct FreeSpace {
    asked: Option<Instant>,
    /// Bytes we may still write before asking again.
    left: u64,
}

/// Room for one file, until it is dropped: by then the file counts by itself.
#[derive(Debug)]
pub(super) struct Reservation<R: Deref<Target = Room>> {
    room: R,
    space: u64,
}

/// What stands in the way of a write.
enum Lack {
    Store { used: u64, max: u64 },
    Disk { free: u64 },
}

impl Room {
    pub fn new(settings: &StoreSettings) -> Self {
        let limits = settings.max_bytes.map(|max| {
            let part = |percent: u8| u64::try_from(u128::from(max) * u128::from(percent.min(100)) / 100);
            let high = part(settings.high_water_percent).unwrap_or(max);
            let low = part(settings.low_water_percent).unwrap_or(max).min(high);
            Limits { max, high, low }
        });
        Self {
            limits,
            min_free: settings.min_free_bytes,
            keep_after_use: settings.keep_after_use,
            reserved: AtomicU64::new(0),
            free: Mutex::new(FreeSpace { asked: None, left: 0 }),
            evicting: Mutex::new(()),
            evicted_files: AtomicU64::new(0),
            evicted_bytes: AtomicU64::new(0),
            bell: Bell::default(),
        }
    }

    /// Files and bytes evicted since the start.
    pub fn evicted(&self) -> (u64, u64) {
        (self.evicted_files.load(Relaxed), self.evicted_bytes.load(Relaxed))
    }

    /// Makes room for a blob, evicting others if need be.
    pub fn reserve<R: Deref<Target = Self>>(
        room: R,
        files: &Files,
        digest: &Digest,
    ) -> Result<Reservation<R>, StoreError> {
        let space = space_of(digest.size_bytes);
        room.reserved.fetch_add(space, Relaxed);
        let reservation = Reservation { room, space };
        let room = &*reservation.room;
        if let Some(lack) = room.lack(files, space) {
            let _one_at_a_time = room.evicting.lock();
            if room.lack(files, space).is_some() {
                room.evict_for(files, space, &lack)?;
                *room.free.lock() = FreeSpace { asked: None, left: 0 };
            }
            if let Some(lack) = room.lack(files, space) {
                return Err(room.refusal(digest, &lack));
            }
        }
        if room.limits.is_some_and(|limits| room.used(files) > limits.high) {
            room.bell.ring();
        }
        Ok(reservation)
    }

    /// Evicts down to the low water mark if the high one is passed. For the background.
    pub fn tidy(&self, files: &Files) -> Result<(), StoreError> {
        let Some(limits) = self.limits else { return Ok(()) };
        if self.used(files) > limits.high {
            let _one_at_a_time = self.evicting.lock();
            self.evict(files, self.used(files).saturating_sub(limits.low), false)?;
        }
        Ok(())
    }

    /// Evicts until no more than `max` bytes of disk are taken, as far as may be.
    pub fn prune(&self, files: &Files, max: u64) -> Result<(), StoreError> {
        for shard in Shard::all() {
            drop(files.list(shard)?);
        }
        let _one_at_a_time = self.evicting.lock();
        self.evict(files, self.used(files).saturating_sub(max), false)
    }

    fn used(&self, files: &Files) -> u64 {
        files.index.space() + self.reserved.load(Relaxed)
    }

    /// `space` is reserved already.
    fn lack(&self, files: &Files, space: u64) -> Option<Lack> {
        if let Some(Limits { max, .. }) = self.limits {
            let used = self.used(files);
            if used > max {
                return Some(Lack::Store { used: used.saturating_sub(space), max });
            }
        }
        let mut free = self.free.lock();
        let now = Instant::now();
        let fresh = free.asked.is_some_and(|asked| now.duration_since(asked) < FREE_SPACE_HOLDS);
        if !fresh || free.left < space {
            // A file system that cannot say how full it is has no limit we could keep.
            let status = rustix::fs::fstatvfs(&files.root).ok()?;
            let available = status.f_bavail.saturating_mul(status.f_frsize);
            *free = FreeSpace { asked: Some(now), left: available.saturating_sub(self.min_free) };
            if free.left < space {
                return Some(Lack::Disk { free: available });
            }
        }
        free.left -= space;
        None
    }

    fn evict_for(&self, files: &Files, space: u64, lack: &Lack) -> Result<(), StoreError> {
        match lack {
            Lack::Store { .. } => {
                let low = self.limits.map_or(0, |limits| limits.low);
                // What everybody writes at the moment may be more than the low water mark.
                let goal = self.used(files).saturating_sub(low.max(space));
                self.evict(files, goal, false)
            }
            Lack::Disk { free } => {
                let short = (self.min_free + space).saturating_sub(*free);
                // Some more, so that not every write has to.
                self.evict(files, short + files.index.space() / 50, true)
            }
        }
    }

    fn refusal(&self, digest: &Digest, lack: &Lack) -> StoreError {
        let kept = humantime::format_duration(self.keep_after_use);
        let reason = match lack {
            Lack::Store { used, max } => format!(
                "{used} of at most {max} bytes are taken, and running actions need them or they were used in \
                 the last {kept}; raise the limit of the store (max-bytes), or keep blobs for less time \
                 (keep-after-use)"
            ),
            Lack::Disk { free } => format!(
                "the disk has {free} bytes left, {} are to stay free (min-free-bytes), and nothing can be \
                 evicted that was not used in the last {kept}; make room on that disk, or put the store on \
                 another one",
                self.min_free
            ),
        };
        StoreError::NoRoom { digest: *digest, reason }
    }

    /// Removes what was used least recently until `goal` bytes of space are free, if so much may go.
    ///
    /// To free the disk, files that others link to are left: removing our name frees nothing.
    fn evict(&self, files: &Files, goal: u64, disk: bool) -> Result<(), StoreError> {
        let Some(newest) = self.newest_to_go(files, goal)? else { return Ok(()) };
        let mut freed = 0;
        for older in [true, false] {
            // First what is older than the limit, then what is as old, as far as needed.
            for shard in Shard::all() {
                if freed >= goal {
                    break;
                }
                let victims: Vec<[u8; 32]> = files
                    .list(shard)?
                    .iter()
                    .filter(
                        |entry| if older { entry.last_use() < newest } else { entry.last_use() == newest },
                    )
                    .map(|entry| entry.hash())
                    .collect();
                for hash in victims {
                    if freed >= goal {
                        break;
                    }
                    let key = Key { kind: shard.kind, function: shard.function, hash };
                    freed += self.evict_one(files, &key, newest, disk)?;
                }
                files.bury();
            }
        }
        tracing::debug!(freed, goal, "evicted");
        Ok(())
    }

    /// The last use of the newest file that has to go; none if nothing has to, or may.
    fn newest_to_go(&self, files: &Files, goal: u64) -> Result<Option<u32>, StoreError> {
        let keep = u32::try_from(self.keep_after_use.as_secs()).unwrap_or(u32::MAX);
        let horizon = files.clock.now().saturating_sub(keep);
        let mut candidates: Vec<(u32, u64)> = Vec::new();
        for shard in Shard::all() {
            let table = files.list(shard)?;
            let old = table.iter().filter(|entry| entry.last_use() <= horizon);
            let free = old.filter(|entry| !table.is_pinned(&entry.hash()));
            candidates.extend(free.map(|entry| (entry.last_use(), entry.space())));
        }
        candidates.sort_unstable_by_key(|(last_use, _)| *last_use);
        let mut sum = 0;
        let mut newest = None;
        for (last_use, space) in candidates {
            if sum >= goal {
                break;
            }
            sum += space;
            newest = Some(last_use);
        }
        Ok(newest)
    }

    fn evict_one(&self, files: &Files, key: &Key, newest: u32, disk: bool) -> Result<u64, StoreError> {
        let mut table = files.table_mut(key)?;
        let Some(entry) = table.get(&key.hash) else { return Ok(0) };
        if entry.last_use() > newest || table.is_pinned(&key.hash) {
            return Ok(0);
        }
        if disk && entry.inode() != Inode::Free {
            let status = statat(&files.root, key.name().as_c_str(), AtFlags::SYMLINK_NOFOLLOW);
            if status.is_ok_and(|status| status.st_nlink > 1) {
                return Ok(0);
            }
        }
        let Some(entry) = table.remove(&key.hash) else { return Ok(0) };
        if let Err(error) = files.delete(key, &entry) {
            // It lies there still, and will be found by the next start.
            tracing::warn!(%error, file = key.name().as_str(), "cannot evict a file of the store");
        }
        self.evicted_files.fetch_add(1, Relaxed);
        self.evicted_bytes.fetch_add(entry.size(), Relaxed);
        Ok(entry.space())
    }
}

impl<R: Deref<Target = Room>> Drop for Reservation<R> {
    fn drop(&mut self) {
        self.room.reserved.fetch_sub(self.space, Relaxed);
    }
}
