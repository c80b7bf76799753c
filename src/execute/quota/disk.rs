//! Who of the running actions takes how much of the disk, and what becomes of those who take too much. Knows nothing of
//! how that is measured.
//!
//! Whoever waits for a command looks at this from time to time. An action is held to its own limit; and when the disk
//! has too little left, the store is asked to make room, and then the action goes that has most, whoever noticed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::statvfs;

use super::bound::Bound;
use super::exceeded::Exceeded;
use super::stopper::Stopper;
use super::usage::{Measured, Usage};
use crate::cas::DiskStore;
use crate::size::about;

/// Between two looks, the first included: what is over before costs nothing.
const INTERVAL: Duration = Duration::from_millis(200);
/// The longest look, so that the end of a command is soon noticed.
const LOOK: Duration = Duration::from_millis(10);
/// Looking takes one part of the time in so many.
const DUTY: u32 = 20;

/// How long the store may take to make room before an action has to go.
const EVICTION: Duration = Duration::from_secs(1);
/// How long what an action had may take to be removed before another one has to go.
const REMOVAL: Duration = Duration::from_secs(5);
/// Who has less than this part of what is to stay free is not to blame for its lack.
const INNOCENT: u64 = 16;
/// The part of all inodes that is to stay free.
const FREE_INODES: u64 = 100;

/// The disk that running actions share.
#[derive(Debug)]
pub(in crate::execute) struct Disk {
    place: PathBuf,
    store: Arc<DiskStore>,
    next: AtomicU64,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    actions: HashMap<u64, RunningAction>,
    /// Since when too little is free.
    low_since: Option<Instant>,
    /// When the store was last asked to make room.
    asked_at: Option<Instant>,
    /// When the last one had to go.
    ended_at: Option<Instant>,
}

#[derive(Debug)]
struct RunningAction {
    taken: Measured,
    stopper: Arc<Stopper>,
}

/// What is left of a disk.
#[derive(Debug, Clone, Copy)]
struct Left {
    bytes: u64,
    inodes: u64,
    /// Of all; none where they are made as they are needed.
    most_inodes: u64,
}

impl Disk {
    /// The one that has `place`, which is to keep as much free as the store is to leave.
    pub fn new(place: PathBuf, store: Arc<DiskStore>) -> Self {
        Self { place, store, next: AtomicU64::new(0), running: Mutex::default() }
    }

    /// Watches the `places` of an action that is about to run.
    pub fn watch(&self, places: Vec<PathBuf>, scratch: Bound, stopper: &Arc<Stopper>) -> Watched<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let action = RunningAction { taken: Measured::default(), stopper: Arc::clone(stopper) };
        self.running.lock().actions.insert(number, action);
        Watched {
            disk: self,
            number,
            usage: Usage::of(places),
            scratch,
            stopper: Arc::clone(stopper),
            next: Instant::now() + INTERVAL,
            left_at_start: self.left().map(|left| left.bytes),
        }
    }

    fn left(&self) -> Option<Left> {
        let status = statvfs(&self.place).ok()?;
        let bytes = status.f_bavail.saturating_mul(status.f_frsize);
        Some(Left { bytes, inodes: status.f_favail, most_inodes: status.f_files })
    }

    /// Ends whoever has most, if too little is left.
    fn keep_room(&self, left: Left) {
        let min_free = self.store.min_free_bytes();
        let few_inodes = left.most_inodes > 0 && left.inodes < left.most_inodes / FREE_INODES;
        let mut running = self.running.lock();
        if left.bytes >= min_free && !few_inodes {
            running.low_since = None;
            return;
        }
        if running.asked_at.is_none_or(|asked| asked.elapsed() > REMOVAL) {
            running.asked_at = Some(Instant::now());
            self.store.make_room();
        }
        let low_since = *running.low_since.get_or_insert_with(Instant::now);
        // Room for blobs is made at the expense of blobs first.
        if !few_inodes && left.bytes >= min_free / 2 && low_since.elapsed() < EVICTION {
            return;
        }
        let just_ended = running.ended_at.is_some_and(|ended| ended.elapsed() < REMOVAL);
        if just_ended || running.actions.values().any(|action| action.stopper.is_stopped()) {
            return;
        }
        let taken =
            |action: &RunningAction| if few_inodes { action.taken.entries } else { action.taken.bytes };
        let Some(most) = running.actions.values().max_by_key(|action| taken(action)) else { return };
        let innocent = if few_inodes { left.most_inodes } else { min_free } / INNOCENT;
        if taken(most) < innocent {
            return;
        }
        most.stopper.exceed(if few_inodes {
            Exceeded::last_inodes(most.taken.entries)
        } else {
            Exceeded::last_room(most.taken.bytes, min_free)
        });
        running.ended_at = Some(Instant::now());
    }
}

/// One action that runs.
#[derive(Debug)]
pub(in crate::execute) struct Watched<'a> {
    disk: &'a Disk,
    number: u64,
    usage: Usage,
    scratch: Bound,
    stopper: Arc<Stopper>,
    next: Instant,
    left_at_start: Option<u64>,
}

impl Watched<'_> {
    /// Looks, if it is time to. Returns how long until it is again.
    pub fn look(&mut self) -> Duration {
        let now = Instant::now();
        if now < self.next {
            return self.next - now;
        }
        self.usage.measure(LOOK);
        let left = self.disk.left();
        let taken = self.taken(left);
        if let Some(action) = self.disk.running.lock().actions.get_mut(&self.number) {
            action.taken = taken;
        }
        if taken.bytes > self.scratch.most {
            let did = format!("has written {} below its exec root", about(taken.bytes));
            self.stopper.exceed(Exceeded::new(&self.scratch, &did));
        }
        if let Some(left) = left {
            self.disk.keep_room(left);
        }
        let pause = INTERVAL.max(now.elapsed() * (DUTY - 1));
        self.next = Instant::now() + pause;
        pause
    }

    /// Whoever hides what it has is taken to have all that is gone since it started.
    fn taken(&self, left: Option<Left>) -> Measured {
        let mut taken = self.usage.known();
        if let (true, Some(left), Some(at_start)) = (taken.hidden, left, self.left_at_start) {
            taken.bytes = taken.bytes.max(at_start.saturating_sub(left.bytes));
        }
        taken
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.disk.running.lock().actions.remove(&self.number);
    }
}
