//! Directories on their way into a cache that processes share: made and filled beside the others, locked
//! while that lasts, and then renamed into place, so that an entry is whole or not there at all. What a
//! crash left behind is swept. Knows nothing of what the directories hold.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err::File;
use tempfile::TempDir;

/// Directories nobody holds a lock on are swept at this age. Only the moment between making and locking
/// one must be shorter.
const ABANDONED_AFTER: Duration = Duration::from_secs(3600);

/// A new directory, deleted when dropped unless it was published.
#[derive(Debug)]
pub(super) struct Staging {
    parent: PathBuf,
    directory: TempDir,
    /// Advisory, and ends with the process. Where file systems have no locks, only age counts.
    _lock: File,
}

impl Staging {
    /// Makes a directory in `parent`, after sweeping those of processes that are gone.
    pub fn new(parent: PathBuf) -> io::Result<Self> {
        fs_err::create_dir_all(&parent)?;
        sweep(&parent);
        let readable = std::fs::Permissions::from_mode(0o755);
        let directory = tempfile::Builder::new().prefix("").permissions(readable).tempdir_in(&parent)?;
        let lock = File::open(directory.path())?;
        let _ = lock.file().try_lock();
        Ok(Self { parent, directory, _lock: lock })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Renames the directory to `place`. If another process was faster, its result stays, unless it is not
    /// `sound`.
    pub fn publish(self, place: &Path, sound: impl Fn(&Path) -> bool) -> io::Result<()> {
        fs_err::create_dir_all(place.parent().unwrap_or(&self.parent))?;
        match fs_err::rename(self.path(), place) {
            Ok(()) => {}
            Err(_) if sound(place) => return Ok(()),
            Err(error) if place.exists() => {
                discard(&self.parent, place).map_err(|_| error)?;
                fs_err::rename(self.path(), place)?;
            }
            Err(error) => return Err(error),
        }
        // It is no longer where the guard would delete it; forget the guard.
        let _ = self.directory.keep();
        Ok(())
    }
}

/// Deletes `place`, which nobody finds there any more from the first moment on. `parent` is where
/// directories are staged.
pub(super) fn discard(parent: &Path, place: &Path) -> io::Result<()> {
    fs_err::create_dir_all(parent)?;
    let discarded = tempfile::Builder::new().prefix("discarded-").tempdir_in(parent)?;
    fs_err::rename(place, discarded.path().join("entry"))?;
    discarded.close()
}

/// Deletes directories whose processes are gone. Failing to costs only disk space.
fn sweep(parent: &Path) {
    for entry in fs_err::read_dir(parent).into_iter().flatten().flatten() {
        let path = entry.path();
        let old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|modified| modified + ABANDONED_AFTER < SystemTime::now());
        if old && File::open(&path).is_ok_and(|directory| directory.file().try_lock().is_ok()) {
            let _ = fs_err::remove_dir_all(&path);
        }
    }
}
