//! Directories that must not outlive us: those of running actions, and trees of inputs. Knows nothing of what is
//! in them.
//!
//! A [`Home`] is a locked directory. What is in it is removed by a thread of its own, so that nobody waits for
//! that; a crash leaves homes that nobody holds, and the next process that makes one beside them removes them.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use nix::fcntl::{Flock, FlockArg};

/// Ours alone: what has this name and a lock that nobody holds is removed.
const PREFIX: &str = "execute-";
const LOCK_SUFFIX: &str = ".lock";

/// Trees that wait for their removal before whoever discards one has to wait, too: a disk that is slower than the
/// actions must not fill up.
const BACKLOG: usize = 256;

/// What is to be removed.
#[derive(Debug)]
struct Discarded {
    path: PathBuf,
    /// The last hold on an overlay of it, which takes a moment to let go.
    mounted: Option<OwnedFd>,
}

/// A directory of this process.
#[derive(Debug)]
pub(super) struct Home {
    directory: PathBuf,
    lock_path: PathBuf,
    names: AtomicU64,
    /// None only while being dropped.
    discarded: Option<SyncSender<Discarded>>,
    remover: Option<JoinHandle<()>>,
    /// Held as long as the directory is in use; the kernel lets go of it however we end.
    _lock: Flock<File>,
}

impl Home {
    /// Makes a home below `base`, and has those removed that no process uses any more.
    pub fn create(base: &Path) -> io::Result<Self> {
        // Sandboxes want paths without `..`.
        let base = &fs_err::canonicalize(base)?;
        let abandoned = abandoned(base)?;
        let (lock, lock_path) = loop {
            let (file, lock_path) = tempfile::Builder::new()
                .prefix(PREFIX)
                .suffix(LOCK_SUFFIX)
                .tempfile_in(base)?
                .keep()
                .map_err(|error| error.error)?;
            if let Some(lock) = lock_for_good(file, &lock_path)? {
                break (lock, lock_path);
            }
        };
        let directory = lock_path.with_extension("");
        fs_err::create_dir(&directory)?;
        // Others have no business here, least of all with what is writable for all.
        fs_err::set_permissions(&directory, PermissionsExt::from_mode(0o700))?;
        let (discarded, to_remove) = sync_channel::<Discarded>(BACKLOG);
        let remover = thread::Builder::new().name("remover".into()).spawn(move || {
            for Abandoned { directory, lock_path, _lock } in abandoned {
                remove(&directory);
                let _ = fs_err::remove_file(lock_path);
            }
            for Discarded { path, mounted } in to_remove {
                drop(mounted);
                remove(&path);
            }
        })?;
        Ok(Self {
            directory,
            lock_path,
            names: AtomicU64::new(0),
            discarded: Some(discarded),
            remover: Some(remover),
            _lock: lock,
        })
    }

    /// A path in it that nothing has had before.
    pub fn new_path(&self) -> PathBuf {
        self.directory.join(self.names.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Has a directory of this home removed. Waits only if far too many are being removed already.
    pub fn discard(&self, path: PathBuf) {
        self.discard_mounted(path, None);
    }

    /// As [`Home::discard`], and lets go of an overlay of it before.
    pub fn discard_mounted(&self, path: PathBuf, mounted: Option<OwnedFd>) {
        if let Some(discarded) = &self.discarded
            && let Err(refused) = discarded.send(Discarded { path, mounted })
        {
            let Discarded { path, mounted } = refused.0;
            drop(mounted);
            remove(&path);
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        drop(self.discarded.take());
        if let Some(remover) = self.remover.take() {
            let _ = remover.join();
        }
        remove(&self.directory);
        let _ = fs_err::remove_file(&self.lock_path);
    }
}

struct Abandoned {
    directory: PathBuf,
    lock_path: PathBuf,
    _lock: Flock<File>,
}

/// Homes of processes that are gone; nobody else removes them as long as we hold their locks.
fn abandoned(base: &Path) -> io::Result<Vec<Abandoned>> {
    let mut abandoned = Vec::new();
    for entry in fs_err::read_dir(base)? {
        let lock_path = entry?.path();
        let name = lock_path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with(PREFIX) || !name.ends_with(LOCK_SUFFIX) {
            continue;
        }
        // Gone since it was listed, or somebody else's: either way not ours to remove.
        let Ok(file) = fs_err::OpenOptions::new().write(true).open(&lock_path) else { continue };
        if let Some(lock) = lock_for_good(file.into_parts().0, &lock_path)? {
            abandoned.push(Abandoned { directory: lock_path.with_extension(""), lock_path, _lock: lock });
        }
    }
    Ok(abandoned)
}

/// Locks `file`, unless another process holds it or has already removed it from `path`.
fn lock_for_good(file: File, path: &Path) -> io::Result<Option<Flock<File>>> {
    let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else { return Ok(None) };
    let locked = lock.metadata()?;
    let is_current =
        path.metadata().is_ok_and(|current| (current.dev(), current.ino()) == (locked.dev(), locked.ino()));
    Ok(is_current.then_some(lock))
}

/// Removes a directory and everything in it. What cannot be removed is left to the next process.
fn remove(path: &Path) {
    let removed = fs_err::remove_dir_all(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        // Of an ordinary user, who cannot look into what an action has closed, nor into what the kernel keeps
        // beside an overlay.
        io::ErrorKind::PermissionDenied => open_directories(path).and_then(|()| fs_err::remove_dir_all(path)),
        _ => Err(error),
    });
    if let Err(error) = removed {
        tracing::warn!("cannot remove {path:?}, which is no longer needed: {error}");
    }
}

/// Makes everything below `path` accessible, never following a link.
fn open_directories(path: &Path) -> io::Result<()> {
    fs_err::set_permissions(path, PermissionsExt::from_mode(0o700))?;
    for entry in fs_err::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_directories(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(base: &Path) -> Vec<PathBuf> {
        fs_err::read_dir(base).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn nothing_is_left_of_a_home_even_of_closed_directories() {
        let base = tempfile::tempdir().unwrap();
        let home = Home::create(base.path()).unwrap();
        let kept = home.new_path();
        fs_err::create_dir_all(kept.join("closed/inner")).unwrap();
        fs_err::write(kept.join("closed/inner/file"), "x").unwrap();
        fs_err::set_permissions(kept.join("closed"), PermissionsExt::from_mode(0o000)).unwrap();
        let discarded = home.new_path();
        fs_err::create_dir(&discarded).unwrap();
        home.discard(discarded);
        drop(home);
        assert!(names(base.path()).is_empty());
    }

    #[test]
    fn what_a_crash_left_is_removed_and_what_is_in_use_is_not() {
        let base = tempfile::tempdir().unwrap();
        let base_path = fs_err::canonicalize(base.path()).unwrap();
        let alive = Home::create(base.path()).unwrap();
        fs_err::create_dir_all(base.path().join("execute-dead/0/file")).unwrap();
        fs_err::write(base.path().join("execute-dead.lock"), "").unwrap();
        fs_err::write(base.path().join("other.lock"), "").unwrap();
        drop(Home::create(base.path()).unwrap());
        assert!(alive.directory.is_dir());
        let mut left = names(&base_path);
        left.sort();
        let mut expected =
            vec![alive.directory.clone(), alive.lock_path.clone(), base_path.join("other.lock")];
        expected.sort();
        assert_eq!(left, expected);
    }
}
