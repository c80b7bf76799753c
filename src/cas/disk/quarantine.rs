//! Where damaged files go: out of the way of the right ones, and not gone yet for whoever wants to know what became of
//! them. A few of them, the latest, up to some space. Knows nothing of what is wrong with them.

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, Stat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

use super::index::space_of;
use super::layout::{Key, QUARANTINE};
use super::names::{make_directories, unlink};
use super::proofs::is_file;

const MOST_FILES: usize = 32;
const MOST_BYTES: u64 = 256 << 20;
/// No more than one part in so many of what the store may take.
const PART: u64 = 16;

/// The files there.
#[derive(Debug)]
pub(super) struct Quarantine {
    most: u64,
    /// The oldest first.
    held: Mutex<VecDeque<Held>>,
    space: AtomicU64,
}

#[derive(Debug)]
struct Held {
    /// Below the store's directory.
    name: String,
    space: u64,
}

impl Quarantine {
    /// With what earlier processes have put there.
    pub fn open(root: &OwnedFd, max_bytes: Option<u64>) -> Self {
        let most = max_bytes.map_or(MOST_BYTES, |max| MOST_BYTES.min(max / PART));
        let mut found = list(root).unwrap_or_default();
        found.sort_by_key(|(changed, _)| *changed);
        let quarantine = Self { most, held: Mutex::default(), space: AtomicU64::new(0) };
        for (_, held) in found {
            quarantine.hold(root, held);
        }
        quarantine
    }

    /// Disk space that they take.
    pub fn space(&self) -> u64 {
        self.space.load(Relaxed)
    }

    /// Moves the file of `key` there. What is too large is removed instead.
    pub fn take(&self, root: &OwnedFd, key: &Key, status: &Stat) -> Result<(), Errno> {
        let place = key.name();
        let space = space_of(u64::try_from(status.st_size).unwrap_or(0));
        if space > self.most {
            return unlink(root, place.as_c_str());
        }
        let name = format!("{QUARANTINE}/{}", place.as_str().replace('/', "-"));
        let moved = match renameat(root, place.as_c_str(), root, name.as_str()) {
            Err(Errno::NOENT) => {
                make_directories(root, QUARANTINE)?;
                renameat(root, place.as_c_str(), root, name.as_str())
            }
            other => other,
        };
        match moved {
            Ok(()) => self.hold(root, Held { name, space }),
            // It must not stay where it is, whatever somebody has put where it was to go.
            Err(_) => return unlink(root, place.as_c_str()),
        }
        Ok(())
    }

    fn hold(&self, root: &OwnedFd, new: Held) {
        let mut held = self.held.lock();
        held.retain(|old| {
            // It was replaced.
            let stays = old.name != new.name;
            if !stays {
                self.space.fetch_sub(old.space, Relaxed);
            }
            stays
        });
        self.space.fetch_add(new.space, Relaxed);
        held.push_back(new);
        while held.len() > MOST_FILES || self.space() > self.most {
            let Some(oldest) = held.pop_front() else { return };
            self.space.fetch_sub(oldest.space, Relaxed);
            let _ = unlinkat(root, oldest.name.as_str(), AtFlags::empty());
        }
    }
}

/// When each came there, by the change of its name.
fn list(root: &OwnedFd) -> Result<Vec<(i64, Held)>, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let directory = openat(root, QUARANTINE, flags, Mode::empty())?;
    let mut found = Vec::new();
    let mut buffer = [MaybeUninit::<u8>::uninit(); 8 << 10];
    let mut listing = RawDir::new(&directory, &mut buffer);
    while let Some(entry) = listing.next() {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        let Ok(status) = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        if is_file(&status) {
            let space = space_of(u64::try_from(status.st_size).unwrap_or(0));
            found.push((status.st_ctime, Held { name: format!("{QUARANTINE}/{name}"), space }));
        }
    }
    Ok(found)
}
