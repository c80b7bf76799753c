//! The directory one build works in: made for it, locked while it runs, removed after it, and
//! swept away by the next build if a crash left it behind. Knows nothing of what happens inside.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::removal::{remove_tree, remove_trees};

/// Ours alone: what has this name and a lock nobody holds is removed, also from a directory of the user's.
const PREFIX: &str = "crosswheel-build-";
const LOCK_SUFFIX: &str = ".lock";

/// An empty directory of our own, removed with everything in it when dropped.
pub struct Workspace {
    directory: PathBuf,
    lock_path: PathBuf,
    /// Held for as long as the directory is in use; the kernel lets go of it however we end.
    _lock: Flock<File>,
    keep: bool,
}

impl Workspace {
    /// Makes a workspace under `base`, after removing those that no process uses any more.
    pub fn create(base: &Path) -> io::Result<Self> {
        fs_err::create_dir_all(base)?;
        let base = &fs_err::canonicalize(base)?;
        sweep(base)?;
        loop {
            let (file, lock_path) = tempfile::Builder::new()
                .prefix(PREFIX)
                .suffix(LOCK_SUFFIX)
                .tempfile_in(base)?
                .keep()
                .map_err(|error| error.error)?;
            let Some(lock) = lock_for_good(file, &lock_path)? else { continue };
            let directory = directory_of(&lock_path);
            fs_err::create_dir(&directory)?;
            fs_err::set_permissions(&directory, PermissionsExt::from_mode(0o755))?;
            return Ok(Self { directory, lock_path, _lock: lock, keep: false });
        }
    }

    /// The directory, as an absolute path without links and `..`.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Removes `names` now, rather than when the workspace is dropped, unless it is to be kept.
    pub fn discard(&self, names: &[&str]) {
        if !self.keep {
            // What cannot be removed now is tried again when the workspace is dropped.
            let _ = remove_trees(names.iter().map(|name| self.directory.join(name)));
        }
    }

    /// Leaves the directory in place when the workspace is dropped, for a look at what went wrong.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next build.
        if !self.keep && remove_tree(&self.directory).is_err() {
            return;
        }
        let _ = fs_err::remove_file(&self.lock_path);
    }
}

/// Removes the workspaces under `base` whose owners are gone.
fn sweep(base: &Path) -> io::Result<()> {
    for entry in fs_err::read_dir(base)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.starts_with(PREFIX) || !name.ends_with(LOCK_SUFFIX) {
            continue;
        }
        // Gone since it was listed, or somebody else's: either way not ours to sweep.
        let Ok(file) = File::options().write(true).open(&path) else { continue };
        if let Ok(Some(_lock)) = lock_for_good(file, &path)
            && remove_tree(&directory_of(&path)).is_ok()
        {
            let _ = fs_err::remove_file(&path);
        }
    }
    Ok(())
}

/// Locks `file`, unless another process holds it or has already removed it from `path`.
fn lock_for_good(file: File, path: &Path) -> io::Result<Option<Flock<File>>> {
    let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else { return Ok(None) };
    let locked = lock.metadata()?;
    let is_current =
        path.metadata().is_ok_and(|current| (current.dev(), current.ino()) == (locked.dev(), locked.ino()));
    Ok(is_current.then_some(lock))
}

fn directory_of(lock_path: &Path) -> PathBuf {
    lock_path.with_extension("")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(base: &Path) -> Vec<PathBuf> {
        fs_err::read_dir(base).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn a_workspace_is_gone_when_dropped_even_with_closed_directories_in_it() {
        let base = tempfile::tempdir().unwrap();
        let workspace = Workspace::create(base.path()).unwrap();
        let closed = workspace.path().join("closed");
        fs_err::create_dir(&closed).unwrap();
        fs_err::write(closed.join("file"), "x").unwrap();
        fs_err::set_permissions(&closed, PermissionsExt::from_mode(0o000)).unwrap();
        drop(workspace);
        assert!(names(base.path()).is_empty());
    }

    /// A crash drops the lock with the process but leaves the files.
    #[test]
    fn what_a_crash_left_is_swept_and_what_is_in_use_is_not() {
        let base = tempfile::tempdir().unwrap();
        let alive = Workspace::create(base.path()).unwrap();
        fs_err::write(base.path().join("crosswheel-build-dead.lock"), "").unwrap();
        fs_err::create_dir(base.path().join("crosswheel-build-dead")).unwrap();
        fs_err::write(base.path().join("crosswheel-build-dead/file"), "x").unwrap();
        let other = Workspace::create(base.path()).unwrap();
        assert!(alive.path().is_dir() && other.path().is_dir());
        assert!(!base.path().join("crosswheel-build-dead").exists());
        assert!(!base.path().join("crosswheel-build-dead.lock").exists());
    }

    #[test]
    fn locks_and_directories_of_others_stay() {
        let base = tempfile::tempdir().unwrap();
        fs_err::write(base.path().join("build-release.lock"), "").unwrap();
        fs_err::create_dir(base.path().join("build-release")).unwrap();
        drop(Workspace::create(base.path()).unwrap());
        assert_eq!(names(base.path()).len(), 2);
    }
}
