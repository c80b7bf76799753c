//! Notices when others remove files of the store or write to them, through inotify: whoever asks for a blob is told about one
//! that an administrator or Bazel's own garbage collection has deleted, without a system call per question.
//! Where there is no inotify, a lost file is noticed when it is opened. Knows nothing of what the files are.

use std::collections::HashMap;
use std::io::PipeReader;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::layout::{Key, Shard};

/// The watched directories.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: Option<OwnedFd>,
    shards: Mutex<HashMap<i32, Shard>>,
}

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A file was removed, by us or by others.
    Removed(Key),
    /// Somebody has written to a file, which we never do.
    Written(Key),
    /// Anything may have happened in this directory.
    Unknown(Shard),
    /// Anything may have happened.
    Lost,
}

impl Watch {
    pub fn new() -> Self {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .inspect_err(|error| tracing::info!(%error, "cannot watch the store's directories"))
            .ok();
        Self { inotify, shards: Mutex::default() }
    }

    /// Watches a directory; again, if need be.
    pub fn add(&self, directory: &Path, shard: Shard) {
        let Some(inotify) = &self.inotify else { return };
        let events = WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MODIFY
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        // Held across both, so that no event can come before we know of whom.
        let mut shards = self.shards.lock();
        match inotify::add_watch(inotify, directory, events | WatchFlags::ONLYDIR) {
            Ok(watch) => {
                shards.insert(watch, shard);
            }
            Err(error) => tracing::debug!(%error, directory = %directory.display(), "cannot watch"),
        }
    }

    /// Reports events until the other end of `stop` is closed.
    pub fn run(&self, stop: &PipeReader, mut report: impl FnMut(Event)) {
        let Some(inotify) = &self.inotify else { return };
        let mut buffer = [MaybeUninit::<u8>::uninit(); 64 << 10];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    if let Some(event) = self.read(&event) {
                        report(event);
                    }
                }
                Err(Errno::AGAIN) => {
                    let mut wanted = [PollFd::new(inotify, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
                    let _ = poll(&mut wanted, None);
                    if !wanted[1].revents().is_empty() {
                        return;
                    }
                }
                Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot watch the store's directories any more");
                    return;
                }
            }
        }
    }

    fn read(&self, event: &inotify::Event<'_>) -> Option<Event> {
        if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
            return Some(Event::Lost);
        }
        let mut shards = self.shards.lock();
        let shard = *shards.get(&event.wd())?;
        if event.events().contains(ReadFlags::IGNORED) {
            shards.remove(&event.wd());
            return None;
        }
        if event.events().intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF) {
            return Some(Event::Unknown(shard));
        }
        let key = shard.key(event.file_name()?.to_bytes())?;
        let written = event.events().contains(ReadFlags::MODIFY);
        Some(if written { Event::Written(key) } else { Event::Removed(key) })
    }
}
