//! A home in which directories come and go while a process runs. What is discarded is removed by a thread, so that
//! nobody waits for that. Knows nothing of what is in them.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::home::LockedHome;
use super::removal::remove;

/// Trees that wait for their removal before whoever discards one has to wait, too: a disk that is slower than those who
/// make them must not fill up.
const BACKLOG: usize = 256;

/// Others have no business here, least of all with what is writable for all.
const PRIVATE: u32 = 0o700;

/// What is to be removed.
#[derive(Debug)]
struct Discarded {
    path: PathBuf,
    /// The last hold on an overlay of it, which takes a moment to let go.
    mounted: Option<OwnedFd>,
}

/// A private directory of this process. Gone when dropped, with everything in it.
#[derive(Debug)]
pub struct ScratchSpace {
    home: LockedHome,
    names: AtomicU64,
    /// None only while being dropped.
    discarded: Option<SyncSender<Discarded>>,
    remover: Option<JoinHandle<()>>,
}

impl ScratchSpace {
    /// Makes one in `base`, as [`LockedHome::create`] does, and has those removed there that no process uses any more.
    ///
    /// # Errors
    /// If there is no room, no permission, or no thread.
    pub fn create(base: &Path, prefix: &str) -> io::Result<Self> {
        let abandoned = LockedHome::abandoned(base, prefix)?;
        let home = LockedHome::create(base, prefix, PRIVATE)?;
        let (discarded, to_remove) = sync_channel::<Discarded>(BACKLOG);
        let remover = thread::Builder::new().name("remover".into()).spawn(move || {
            abandoned.for_each(drop);
            to_remove.into_iter().for_each(Discarded::remove);
        })?;
        Ok(Self { home, names: AtomicU64::new(0), discarded: Some(discarded), remover: Some(remover) })
    }

    /// A path in it that nothing has had before.
    pub fn new_path(&self) -> PathBuf {
        self.home.path().join(self.names.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Has a directory of this space removed. Waits only if far too many are being removed already.
    pub fn discard(&self, path: PathBuf) {
        self.discard_mounted(path, None);
    }

    /// As [`ScratchSpace::discard`], and lets go of an overlay of it before.
    pub fn discard_mounted(&self, path: PathBuf, mounted: Option<OwnedFd>) {
        if let Some(discarded) = &self.discarded
            && let Err(refused) = discarded.send(Discarded { path, mounted })
        {
            refused.0.remove();
        }
    }
}

impl Discarded {
    /// What cannot be removed is tried again with the whole space.
    fn remove(self) {
        drop(self.mounted);
        if let Err(error) = remove(&self.path) {
            tracing::warn!("{error}; it is no longer needed");
        }
    }
}

impl Drop for ScratchSpace {
    fn drop(&mut self) {
        drop(self.discarded.take());
        if let Some(remover) = self.remover.take() {
            let _ = remover.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(base: &Path) -> Vec<PathBuf> {
        fs_err::read_dir(base).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn nothing_is_left_of_a_space_even_of_closed_directories() {
        let base = tempfile::tempdir().unwrap();
        let space = ScratchSpace::create(base.path(), "execute-").unwrap();
        let kept = space.new_path();
        fs_err::create_dir_all(kept.join("closed/inner")).unwrap();
        fs_err::write(kept.join("closed/inner/file"), "x").unwrap();
        fs_err::set_permissions(kept.join("closed"), PermissionsExt::from_mode(0o000)).unwrap();
        let discarded = space.new_path();
        fs_err::create_dir(&discarded).unwrap();
        space.discard(discarded);
        drop(space);
        assert!(names(base.path()).is_empty());
    }

    #[test]
    fn what_a_crash_left_is_removed_and_what_is_in_use_is_not() {
        let base = tempfile::tempdir().unwrap();
        let alive = ScratchSpace::create(base.path(), "execute-").unwrap();
        fs_err::create_dir_all(base.path().join("execute-dead/0/file")).unwrap();
        fs_err::write(base.path().join("execute-dead.lock"), "").unwrap();
        fs_err::write(base.path().join("other.lock"), "").unwrap();
        drop(ScratchSpace::create(base.path(), "execute-").unwrap());
        assert!(alive.home.path().is_dir());
        assert_eq!(names(base.path()).len(), 3, "{:?}", names(base.path()));
        assert!(base.path().join("other.lock").exists());
    }
}
