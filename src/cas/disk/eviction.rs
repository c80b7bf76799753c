//! How much may be in the store, and what goes when that is too much: what was used least recently, but nothing
//! that is pinned or was just used. Knows nothing of who writes.

use std::ffi::CStr;
use std::ops::Deref;
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::{AtFlags, statat};

use super::files::Files;
use super::index::{Entry, Inode, space_of};
use super::layout::{Key, Shard};
use super::settings::StoreSettings;
use super::upkeep_signal::UpkeepSignal;
use crate::cas::error::StoreError;
use crate::digest::Digest;

/// How long the free space of the disk is taken to be what it was, less what we wrote.
const FREE_SPACE_HOLDS: Duration = Duration::from_secs(1);

/// Quota in the store.
#[derive(Debug)]
pub(super) struct Quota {
    limits: Option<Limits>,
    min_free: u64,
    keep_after_use: Duration,
    /// Space that is being written to.
    reserved: AtomicU64,
    free: Mutex<FreeSpace>,
    /// Held by whoever evicts: two at a time would evict twice as much.
    evicting: Mutex<()>,
    lenders: Mutex<Vec<Weak<dyn UnfinishedUploads>>>,
    evicted_files: AtomicU64,
    evicted_bytes: AtomicU64,
    pub upkeep: UpkeepSignal,
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

/// Quota for what is there of one file, until it is dropped: by then the file counts by itself.
#[derive(Debug)]
pub(super) struct Reservation<R: Deref<Target = Quota>> {
    quota: R,
    space: u64,
}

/// Who keeps uploads that nobody goes on with, for their clients to come back.
pub trait UnfinishedUploads: std::fmt::Debug + Send + Sync {
    /// Others need room: gives up such uploads until so many bytes are free, if there are as many.
    fn give_back(&self, bytes: u64);
}

/// What stands in the way of a write.
enum Shortage {
    Store {
        used: u64,
        max: u64,
    },
    Disk {
        free: u64,
    },
    /// The file would not fit if there were no other.
    EmptyStore {
        max: u64,
    },
    /// Likewise, of the whole disk.
    EmptyDisk {
        size: u64,
    },
}

/// How much to evict.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goal {
    /// Bytes of space without which nothing is gained: if so much may not go, nothing does.
    pub least: u64,
    /// Bytes of space that are to be free if so much may go.
    pub target: u64,
    /// To free the disk: files that others link to are left, as removing our name frees nothing.
    pub disk: bool,
}

/// A file that may go.
struct Candidate {
    last_use: u32,
    space: u64,
    key: Key,
    linked: Linked,
}

/// What the index knows of who else links to the inodes of a file.
#[derive(Debug, Clone, Copy)]
struct Linked {
    inode: Inode,
    has_variant: bool,
    /// Of each inode.
    space: u64,
}

impl Quota {
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
            lenders: Mutex::default(),
            evicted_files: AtomicU64::new(0),
            evicted_bytes: AtomicU64::new(0),
            upkeep: UpkeepSignal::default(),
        }
    }

    /// Files and bytes evicted since the start.
    pub fn evicted(&self) -> (u64, u64) {
        (self.evicted_files.load(Relaxed), self.evicted_bytes.load(Relaxed))
    }

    #[cfg(test)]
    pub fn reserved(&self) -> u64 {
        self.reserved.load(Relaxed)
    }

    /// Makes room for a blob whose bytes are all here, evicting others if need be.
    pub fn reserve<R: Deref<Target = Self>>(
        quota: R,
        files: &Files,
        digest: &Digest,
    ) -> Result<Reservation<R>, StoreError> {
        quota.refuse_what_never_fits(files, digest)?;
        let mut reservation = Reservation { quota, space: 0 };
        reservation.grow(files, digest, digest.size_bytes)?;
        Ok(reservation)
    }

    /// Bytes that are to stay free on the disk.
    pub fn min_free(&self) -> u64 {
        self.min_free
    }

    /// Lets a blob begin to arrive. Its size is what a client claims, so nothing goes for it, and no room is taken
    /// before its bytes come; but what is sure to find none is refused here, before anybody sends it.
    pub fn admit<R: Deref<Target = Self>>(
        quota: R,
        files: &Files,
        digest: &Digest,
    ) -> Result<Reservation<R>, StoreError> {
        quota.refuse_what_never_fits(files, digest)?;
        if let Some(Limits { max, .. }) = quota.limits {
            let used = quota.used(files);
            let short = used.saturating_add(space_of(digest.size_bytes)).saturating_sub(max);
            // Uploads that are not complete may yet give back what they have.
            let beside = short.saturating_sub(quota.reserved.load(Relaxed));
            if beside > 0 && quota.evictable(files, beside)? < beside {
                return Err(quota.refusal(digest, &Shortage::Store { used, max }));
            }
        }
        Ok(Reservation { quota, space: 0 })
    }

    /// `lender` is asked for room before blobs are evicted.
    pub fn borrow_from(&self, lender: Weak<dyn UnfinishedUploads>) {
        let mut lenders = self.lenders.lock();
        lenders.retain(|known| known.strong_count() > 0);
        lenders.push(lender);
    }

    fn refuse_what_never_fits(&self, files: &Files, digest: &Digest) -> Result<(), StoreError> {
        match self.never_fits(files, space_of(digest.size_bytes)) {
            Some(shortage) => Err(self.refusal(digest, &shortage)),
            None => Ok(()),
        }
    }

    /// Sees to it that `space`, which is reserved already, is there.
    fn make_room(&self, files: &Files, digest: &Digest, space: u64) -> Result<(), StoreError> {
        if self.shortage(files, space).is_some() {
            let _one_at_a_time = self.evicting.lock();
            if let Some(shortage) = self.shortage(files, space) {
                // What nobody goes on with is worth less than any blob.
                self.ask_for_room(self.goal(files, space, &shortage).least);
                if let Some(shortage) = self.shortage(files, space) {
                    self.evict(files, self.goal(files, space, &shortage))?;
                    *self.free.lock() = FreeSpace { asked: None, left: 0 };
                    if let Some(shortage) = self.shortage(files, space) {
                        return Err(self.refusal(digest, &shortage));
                    }
                }
            }
        }
        if self.limits.is_some_and(|limits| self.used(files) > limits.high) {
            self.upkeep.notify();
        }
        Ok(())
    }

    fn ask_for_room(&self, bytes: u64) {
        let lenders: Vec<_> = self.lenders.lock().iter().filter_map(Weak::upgrade).collect();
        if lenders.is_empty() {
            return;
        }
        lenders.iter().for_each(|lender| lender.give_back(bytes));
        *self.free.lock() = FreeSpace { asked: None, left: 0 };
    }

    /// Bytes of space that may be evicted; no more are counted than `enough`.
    fn evictable(&self, files: &Files, enough: u64) -> Result<u64, StoreError> {
        let horizon = self.horizon(files);
        let mut sum: u64 = 0;
        for shard in Shard::all() {
            if sum >= enough {
                break;
            }
            let table = files.list(shard)?;
            let old = table.iter().filter(|entry| entry.last_use() <= horizon);
            let free = old.filter(|entry| !table.is_pinned(&entry.hash()));
            sum = free.map(Entry::space).fold(sum, u64::saturating_add);
        }
        Ok(sum)
    }

    /// What was used later than this stays.
    fn horizon(&self, files: &Files) -> u32 {
        let keep = u32::try_from(self.keep_after_use.as_secs()).unwrap_or(u32::MAX);
        files.clock.now().saturating_sub(keep)
    }

    /// Evicts down to the low water mark if the high one is passed, and what it takes to leave as much free as is to stay
    /// free. For the background.
    pub fn tidy(&self, files: &Files) -> Result<(), StoreError> {
        if let Ok(status) = rustix::fs::fstatvfs(&files.root) {
            let available = status.f_bavail.saturating_mul(status.f_frsize);
            let short = self.min_free.saturating_sub(available);
            if short > 0 {
                let _one_at_a_time = self.evicting.lock();
                self.evict(files, Goal { disk: true, ..Goal::as_far_as_may_be(short) })?;
                *self.free.lock() = FreeSpace { asked: None, left: 0 };
            }
        }
        let Some(limits) = self.limits else { return Ok(()) };
        if self.used(files) > limits.high {
            let _one_at_a_time = self.evicting.lock();
            self.ask_for_room(self.used(files).saturating_sub(limits.low));
            self.evict(files, Goal::as_far_as_may_be(self.used(files).saturating_sub(limits.low)))?;
        }
        Ok(())
    }

    /// Evicts until no more than `max` bytes of disk are taken, as far as may be.
    pub fn prune(&self, files: &Files, max: u64) -> Result<(), StoreError> {
        for shard in Shard::all() {
            drop(files.list(shard)?);
        }
        let _one_at_a_time = self.evicting.lock();
        self.evict(files, Goal::as_far_as_may_be(self.used(files).saturating_sub(max)))
    }

    fn used(&self, files: &Files) -> u64 {
        let files = files.index.space().saturating_add(files.quarantine.space());
        files.saturating_add(self.reserved.load(Relaxed))
    }

    /// Whether `space` is more than there can ever be.
    fn never_fits(&self, files: &Files, space: u64) -> Option<Shortage> {
        if let Some(Limits { max, .. }) = self.limits
            && space > max
        {
            return Some(Shortage::EmptyStore { max });
        }
        {
            let free = self.free.lock();
            if free.asked.is_some() && free.left >= space {
                return None;
            }
        }
        let status = rustix::fs::fstatvfs(&files.root).ok()?;
        let size = status.f_blocks.saturating_mul(status.f_frsize);
        (size.saturating_sub(self.min_free) < space).then_some(Shortage::EmptyDisk { size })
    }

    /// `space` is reserved already.
    fn shortage(&self, files: &Files, space: u64) -> Option<Shortage> {
        if let Some(Limits { max, .. }) = self.limits {
            let used = self.used(files);
            if used > max {
                return Some(Shortage::Store { used: used.saturating_sub(space), max });
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
                return Some(Shortage::Disk { free: available });
            }
        }
        free.left -= space;
        None
    }

    fn goal(&self, files: &Files, space: u64, shortage: &Shortage) -> Goal {
        match shortage {
            Shortage::Store { max, .. } => {
                let low = self.limits.map_or(0, |limits| limits.low);
                let used = self.used(files);
                // What everybody writes at the moment may be more than the low water mark.
                let target = used.saturating_sub(low.max(space));
                Goal { least: used.saturating_sub(*max), target, disk: false }
            }
            Shortage::Disk { free } => {
                let short = self.min_free.saturating_add(space).saturating_sub(*free);
                // Some more, so that not every write has to.
                Goal { least: short, target: short.saturating_add(files.index.space() / 50), disk: true }
            }
            Shortage::EmptyStore { .. } | Shortage::EmptyDisk { .. } => Goal::as_far_as_may_be(0),
        }
    }

    fn refusal(&self, digest: &Digest, shortage: &Shortage) -> StoreError {
        let kept = humantime::format_duration(self.keep_after_use);
        let reason = match shortage {
            Shortage::Store { used, max } => format!(
                "{used} of at most {max} bytes are taken, and running actions need them or they were used in \
                 the last {kept}; raise the limit of the store (max-bytes), or keep blobs for less time \
                 (keep-after-use)"
            ),
            Shortage::Disk { free } => format!(
                "the disk has {free} bytes left, {} are to stay free (min-free-bytes), and nothing can be \
                 evicted that was not used in the last {kept}; make room on that disk, or put the store on \
                 another one",
                self.min_free
            ),
            Shortage::EmptyStore { max } => format!(
                "it would not fit if it were the only one: the store may take {max} bytes; raise its limit \
                 (max-bytes)"
            ),
            Shortage::EmptyDisk { size } => format!(
                "it would not fit if it were the only one: the disk has {size} bytes, of which {} are to stay \
                 free (min-free-bytes); put the store on a larger disk",
                self.min_free
            ),
        };
        let passes = matches!(shortage, Shortage::Store { .. } | Shortage::Disk { .. });
        StoreError::NoRoom { digest: *digest, reason, passes }
    }

    /// Removes what was used least recently until as much is free as is wanted, if so much may go; nothing if not even
    /// the least that is asked for may.
    pub fn evict(&self, files: &Files, goal: Goal) -> Result<(), StoreError> {
        let Some(newest) = self.newest_to_go(files, goal)? else { return Ok(()) };
        let Goal { target, disk, .. } = goal;
        let mut freed = 0;
        for older in [true, false] {
            // First what is older than the limit, then what is as old, as far as needed.
            for shard in Shard::all() {
                if freed >= target {
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
                    if freed >= target {
                        break;
                    }
                    let key = Key { kind: shard.kind, function: shard.function, hash };
                    freed += self.evict_one(files, &key, newest, disk)?;
                }
                files.bury();
            }
        }
        tracing::debug!(freed, target, "evicted");
        Ok(())
    }

    /// The last use of the newest file that has to go; none if nothing has to, or not enough may.
    fn newest_to_go(&self, files: &Files, goal: Goal) -> Result<Option<u32>, StoreError> {
        let horizon = self.horizon(files);
        let mut candidates: Vec<Candidate> = Vec::new();
        for shard in Shard::all() {
            let table = files.list(shard)?;
            let old = table.iter().filter(|entry| entry.last_use() <= horizon);
            let free = old.filter(|entry| !table.is_pinned(&entry.hash()));
            candidates.extend(free.map(|entry| Candidate {
                last_use: entry.last_use(),
                space: entry.space(),
                key: Key { kind: shard.kind, function: shard.function, hash: entry.hash() },
                linked: Linked::of(entry),
            }));
        }
        candidates.sort_unstable_by_key(|candidate| candidate.last_use);
        let mut sum: u64 = 0;
        let mut newest = None;
        for Candidate { last_use, space, key, linked } in candidates {
            if sum >= goal.target {
                break;
            }
            let freed = if goal.disk { linked.freed(files, &key) } else { space };
            if freed > 0 {
                sum = sum.saturating_add(freed);
                newest = Some(last_use);
            }
        }
        Ok(newest.filter(|_| sum >= goal.least))
    }

    fn evict_one(&self, files: &Files, key: &Key, newest: u32, disk: bool) -> Result<u64, StoreError> {
        let mut table = files.table_mut(key)?;
        let Some(entry) = table.get(&key.hash) else { return Ok(0) };
        if entry.last_use() > newest || table.is_pinned(&key.hash) {
            return Ok(0);
        }
        let freed = if disk { Linked::of(entry).freed(files, key) } else { entry.space() };
        if disk && freed == 0 {
            return Ok(0);
        }
        let Some(entry) = table.remove(&key.hash) else { return Ok(0) };
        if let Err(error) = files.delete(key, &entry) {
            // It lies there still, and will be found by the next start.
            tracing::warn!(%error, file = key.name().as_str(), "cannot evict a file of the store");
        }
        self.evicted_files.fetch_add(1, Relaxed);
        self.evicted_bytes.fetch_add(entry.size(), Relaxed);
        Ok(freed)
    }
}

impl Goal {
    fn as_far_as_may_be(target: u64) -> Self {
        Self { least: 0, target, disk: false }
    }
}

impl Linked {
    fn of(entry: &Entry) -> Self {
        Self { inode: entry.inode(), has_variant: entry.has_variant(), space: space_of(entry.size()) }
    }

    /// Bytes that the disk has more of once our names of the file are gone.
    fn freed(self, files: &Files, key: &Key) -> u64 {
        let ours_alone = |name: &CStr| {
            let status = statat(&files.root, name, AtFlags::SYMLINK_NOFOLLOW);
            status.is_ok_and(|status| status.st_nlink <= 1)
        };
        let mut freed = 0;
        if self.inode == Inode::Free || ours_alone(key.name().as_c_str()) {
            freed += self.space;
        }
        if self.has_variant && ours_alone(key.variant().as_c_str()) {
            freed += self.space;
        }
        freed
    }
}

impl<R: Deref<Target = Quota>> Reservation<R> {
    /// Takes room for the first `bytes` of a blob, which are here now.
    pub fn grow(&mut self, files: &Files, digest: &Digest, bytes: u64) -> Result<(), StoreError> {
        let more = space_of(bytes).saturating_sub(self.space);
        if more == 0 {
            return Ok(());
        }
        let add = |reserved: u64| reserved.checked_add(more);
        if self.quota.reserved.fetch_update(Relaxed, Relaxed, add).is_err() {
            return Err(self.quota.refusal(digest, &Shortage::EmptyDisk { size: u64::MAX }));
        }
        let made = self.quota.make_room(files, digest, more);
        match made {
            Ok(()) => self.space += more,
            Err(_) => drop(self.quota.reserved.fetch_sub(more, Relaxed)),
        }
        made
    }
}

impl<R: Deref<Target = Quota>> Drop for Reservation<R> {
    fn drop(&mut self) {
        self.quota.reserved.fetch_sub(self.space, Relaxed);
    }
}
