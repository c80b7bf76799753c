//! What a store does in the background: list its directories, delete what a crash left, evict, note last uses in
//! the times of files, notice what others remove. Knows nothing of clients.

use std::io::{PipeReader, PipeWriter};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Timespec, Timestamps, UTIME_OMIT, utimensat};

use super::eviction::Quota;
use super::files::{Files, io};
use super::index::Inode;
use super::layout::{Key, Shard};
use super::sweep::sweep;
use super::watch::Event;
use crate::cas::error::StoreError;

/// How often last uses are noted in the times of the files.
const RECORD_EVERY: Duration = Duration::from_secs(3600);
/// A time is not worth noting unless it differs by so many seconds.
pub(super) const RECORD_WORTH: u32 = 600;

/// The threads; they end with it.
#[derive(Debug)]
pub(super) struct Upkeep {
    files: Arc<Files>,
    quota: Arc<Quota>,
    stop: Option<PipeWriter>,
    threads: Vec<JoinHandle<()>>,
}

impl Upkeep {
    pub fn start(files: Arc<Files>, quota: Arc<Quota>) -> Result<Self, StoreError> {
        let (stopped, stop) = std::io::pipe().map_err(|error| io("make a pipe", error))?;
        let threads = vec![
            spawn("store-upkeep", (&files, &quota), |files, quota| keep_up(&files, &quota))?,
            spawn("store-sweep", (&files, &quota), |files, quota| {
                sweep(&files.directory, || quota.upkeep.is_stopped());
            })?,
            spawn("store-watch", (&files, &quota), move |files, _| watch(&files, &stopped))?,
        ];
        Ok(Self { files, quota, stop: Some(stop), threads })
    }
}

fn spawn(
    name: &str,
    (files, quota): (&Arc<Files>, &Arc<Quota>),
    run: impl FnOnce(Arc<Files>, Arc<Quota>) + Send + 'static,
) -> Result<JoinHandle<()>, StoreError> {
    let (files, quota) = (Arc::clone(files), Arc::clone(quota));
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || run(files, quota))
        .map_err(|error| io("start a thread", error))
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.quota.upkeep.stop();
        drop(self.stop.take());
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a background thread of the store had panicked");
            }
        }
        record_uses(&self.files);
        self.files.bury();
    }
}

fn keep_up(files: &Files, quota: &Quota) {
    let started = Instant::now();
    for shard in Shard::all() {
        if quota.upkeep.is_stopped() {
            return;
        }
        if let Err(error) = files.list(shard) {
            tracing::warn!(%error, "cannot list the store yet");
        }
    }
    tracing::debug!(milliseconds = started.elapsed().as_millis(), "listed the store");
    let mut recorded = Instant::now();
    quota.upkeep.notify();
    while quota.upkeep.wait(recorded + RECORD_EVERY) {
        if let Err(error) = quota.tidy(files) {
            tracing::warn!(%error, "cannot evict");
        }
        files.bury();
        if recorded.elapsed() >= RECORD_EVERY {
            record_uses(files);
            recorded = Instant::now();
        }
    }
}

/// Notes last uses in the times of the files, for the next start and for Bazel's garbage collection, which looks
/// at the time of modification. Where others link to the file, and would see that time change, the time of access
/// has to do.
fn record_uses(files: &Files) {
    for shard in Shard::all() {
        let table = files.index.peek(shard);
        let used: Vec<([u8; 32], u32, Inode)> = table
            .iter()
            .filter(|entry| entry.last_use() > entry.recorded_use().saturating_add(RECORD_WORTH))
            .map(|entry| {
                entry.set_recorded_use(entry.last_use());
                (entry.hash(), entry.last_use(), entry.inode())
            })
            .collect();
        drop(table);
        for (hash, time, inode) in used {
            let time = Timespec { tv_sec: files.clock.to_file(time), tv_nsec: 0 };
            let last_modification =
                if inode == Inode::Free { time } else { Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT } };
            let key = Key { kind: shard.kind, function: shard.function, hash };
            let times = Timestamps { last_access: time, last_modification };
            if inode == Inode::Free {
                files.set_times(&key, &times);
            } else {
                // A file that is gone, or somebody else's, keeps its times.
                let _ = utimensat(&files.root, key.name().as_c_str(), &times, AtFlags::SYMLINK_NOFOLLOW);
            }
        }
    }
}

/// Keeps the index right when others remove files.
fn watch(files: &Files, stopped: &PipeReader) {
    let relist = |shard: Shard| {
        files.index.forget(shard);
        if let Err(error) = files.list(shard) {
            tracing::warn!(%error, "cannot list the store again");
        }
    };
    files.watch.run(stopped, |event| match event {
        Event::Removed(key) => {
            let known = files.index.peek(key.shard()).get(&key.hash).is_some();
            if known && let Err(error) = files.drop_if_gone(&key) {
                tracing::warn!(%error, "cannot look after a removed file");
            }
        }
        Event::Written(key) => {
            if let Err(error) = files.doubt_written(&key) {
                tracing::warn!(%error, "cannot look after a file that somebody has written to");
            }
        }
        Event::Unknown(shard) => relist(shard),
        Event::Lost => Shard::all().for_each(relist),
    });
}
