//! Directories on their way to a place where others look: made and filled elsewhere on the same file system, and then
//! renamed, so that whoever looks finds all of one or nothing. Knows nothing of what the directories hold.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::home::LockedHome;
use super::temporary::TemporaryDirectory;

const PREFIX: &str = "staging-";

/// A new directory, removed when dropped unless it was published.
#[derive(Debug)]
pub struct Staging {
    parent: PathBuf,
    home: LockedHome,
}

impl Staging {
    /// Makes a directory in `parent`, after sweeping those of processes that are gone. It can be read by all.
    ///
    /// # Errors
    /// If there is no room, or no permission.
    pub fn new(parent: PathBuf) -> io::Result<Self> {
        fs_err::create_dir_all(&parent)?;
        // Failing to costs only disk space.
        let _ = LockedHome::sweep(&parent, PREFIX);
        let home = LockedHome::create(&parent, PREFIX, 0o755)?;
        Ok(Self { parent, home })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.home.path()
    }

    /// Renames the directory to `place`. If another process was faster, its result stays, unless it is not
    /// `sound`.
    ///
    /// # Errors
    /// If it cannot be renamed.
    pub fn publish(self, place: &Path, sound: impl Fn(&Path) -> bool) -> io::Result<()> {
        fs_err::create_dir_all(place.parent().unwrap_or(&self.parent))?;
        match fs_err::rename(self.path(), place) {
            Ok(()) => Ok(()),
            Err(_) if sound(place) => Ok(()),
            Err(error) if place.exists() => {
                discard(&self.parent, place).map_err(|_| error)?;
                fs_err::rename(self.path(), place)
            }
            Err(error) => Err(error),
        }
    }
}

/// Removes `place`, which nobody finds there any more from the first moment on. `parent` is where directories are
/// staged.
///
/// # Errors
/// If it cannot be renamed. What cannot be removed after that is swept later.
pub fn discard(parent: &Path, place: &Path) -> io::Result<()> {
    let discarded = Staging::new(parent.to_owned())?;
    fs_err::rename(place, discarded.path().join("discarded"))
}

/// Puts the directory `made` at `place`, whose parent exists. What is there already changes places with it, at one
/// stroke: somebody may be reading it, or publish the same at this moment. `aside` is a directory on the same file
/// system, which where those cannot exchange two directories gets what was there.
///
/// # Errors
/// If it cannot be renamed.
pub fn exchange(made: &Path, place: &Path, aside: &Path) -> io::Result<()> {
    loop {
        match fs_err::rename(made, place) {
            Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
            }
            ended => return ended,
        }
        match renameat_with(CWD, made, CWD, place, RenameFlags::EXCHANGE) {
            Ok(()) => return Ok(()),
            // Taken away in the meantime.
            Err(Errno::NOENT) => {}
            // Not every file system can.
            Err(Errno::INVAL | Errno::NOSYS) => {
                let old = TemporaryDirectory::new_in(aside)?.keep();
                match fs_err::rename(place, old.join("replaced")) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            Err(error) => {
                let error = io::Error::from(error);
                let problem = format!("cannot put {} at {}: {error}", made.display(), place.display());
                return Err(io::Error::new(error.kind(), problem));
            }
        }
    }
}
