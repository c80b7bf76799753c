//! A directory of one's own: locked while it is in use, gone when that ends, and removed by the next one who comes if a
//! crash left it behind. Knows nothing of what happens inside.
//!
//! ```text
//! BASE/PREFIXxxxxxx.lock    an empty file; whoever has locked it owns the directory
//! BASE/PREFIXxxxxxx         the directory
//! ```
//!
//! The lock is beside the directory: what works inside may close or replace that. A home at a path of its own
//! ([`LockedHome::at`]) is locked itself, as nobody else is to be there at the same time.

use std::fs::{Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fs_err::File;
use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;

use super::removal::{RemovalError, remove_for_waiting};

const LOCK_SUFFIX: &str = ".lock";

/// Each time somebody else has to do the same thing at the wrong moment.
const MOST_TRIES: usize = 100;

/// A directory that is in use by this process. Removed when dropped.
#[derive(Debug)]
pub struct LockedHome {
    directory: PathBuf,
    /// None if the directory itself is locked.
    lock_path: Option<PathBuf>,
    /// The kernel lets go of it however we end.
    _lock: File,
    keep: bool,
    /// There is only one attempt to remove it.
    attempted: bool,
}

/// Why there is no home at a path of its own.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Somebody else works there.
    #[error("{0:?} is in use by another process")]
    Busy(PathBuf),
    /// Something is there that others could exchange for something else.
    #[error("{path:?} is in the way: it {problem}")]
    InTheWay { path: PathBuf, problem: &'static str },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl LockedHome {
    /// Makes an empty directory in `base`, which exists. Its name starts with `prefix`, which says what is made there
    /// and is nobody else's; its permissions are `mode`, whatever the umask.
    ///
    /// Where file systems have no locks, nobody can tell whether a home is in use, and none is ever swept.
    ///
    /// # Errors
    /// If there is no room, or no permission.
    pub fn create(base: &Path, prefix: &str, mode: u32) -> io::Result<Self> {
        // Sandboxes want paths without links and `..`.
        let base = fs_err::canonicalize(base)?;
        for _ in 0..MOST_TRIES {
            let made = tempfile::Builder::new().prefix(prefix).suffix(LOCK_SUFFIX).tempfile_in(&base)?;
            let (file, lock_path) = made.keep().map_err(|error| error.error)?;
            let lock = File::from_parts(file, &lock_path);
            if is_taken(&lock, &lock_path, Unlockable::IsOurs)? {
                continue;
            }
            let home = Self {
                directory: lock_path.with_extension(""),
                lock_path: Some(lock_path),
                _lock: lock,
                keep: false,
                attempted: false,
            };
            fs_err::create_dir(&home.directory)?;
            fs_err::set_permissions(&home.directory, Permissions::from_mode(mode))?;
            return Ok(home);
        }
        Err(io::Error::other(format!("{}: somebody removes whatever is made here", base.display())))
    }

    /// Makes or takes over the directory `path`, whose parent exists, for one process at a time. What a process before
    /// has left in it is there still.
    ///
    /// # Errors
    /// [`HomeError`]. The name is no secret, so whoever can write to the directory around it may have made it: one in
    /// which others could change things is refused.
    pub fn at(path: &Path) -> Result<Self, HomeError> {
        for _ in 0..MOST_TRIES {
            if let Some(lock) = try_lock_directory(path)? {
                return Ok(Self {
                    directory: path.to_owned(),
                    lock_path: None,
                    _lock: lock,
                    keep: false,
                    attempted: false,
                });
            }
        }
        Err(HomeError::Busy(path.to_owned()))
    }

    /// The homes in `base` whose owners are gone, one after the other; they are removed when they are dropped.
    ///
    /// # Errors
    /// If `base` cannot be listed.
    pub fn abandoned(base: &Path, prefix: &str) -> io::Result<impl Iterator<Item = Self> + Send + 'static> {
        let mut locks = Vec::new();
        for entry in fs_err::read_dir(base)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            if name.starts_with(prefix.as_bytes()) && name.ends_with(LOCK_SUFFIX.as_bytes()) {
                locks.push(entry.path());
            }
        }
        Ok(locks.into_iter().filter_map(Self::claim))
    }

    /// Removes the homes in `base` whose owners are gone. What cannot be removed is left to the next one who comes.
    ///
    /// # Errors
    /// If `base` cannot be listed.
    pub fn sweep(base: &Path, prefix: &str) -> io::Result<()> {
        Self::abandoned(base, prefix)?.for_each(drop);
        Ok(())
    }

    /// The home of `lock_path`, if its owner is gone and it is ours to remove.
    fn claim(lock_path: PathBuf) -> Option<Self> {
        // Whoever else may write to the directory around it may have put a FIFO or a link there.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let lock = fs_err::OpenOptions::new().write(true).custom_flags(flags).open(&lock_path).ok()?;
        let found = lock.metadata().ok()?;
        let own = rustix::process::geteuid();
        let ours = found.is_file() && (own.is_root() || found.uid() == own.as_raw());
        if !ours || is_taken(&lock, &lock_path, Unlockable::IsTaken).unwrap_or(true) {
            return None;
        }
        Some(Self {
            directory: lock_path.with_extension(""),
            lock_path: Some(lock_path),
            _lock: lock,
            keep: false,
            attempted: false,
        })
    }

    /// The directory, as an absolute path without links and `..`; of [`LockedHome::at`], as it was given.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Leaves the directory in place when this is dropped, for a look at what went wrong.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// Whether it is to be left in place.
    pub fn is_kept(&self) -> bool {
        self.keep
    }

    /// Removes the directory with everything in it, and lets go of it. As long as something is left, the next one who
    /// comes tries again.
    ///
    /// # Errors
    /// [`RemovalError`] names what is left.
    pub fn remove(mut self) -> Result<(), RemovalError> {
        self.attempted = true;
        self.remove_all()
    }

    fn remove_all(&self) -> Result<(), RemovalError> {
        remove_for_waiting([&self.directory])?;
        self.remove_lock();
        Ok(())
    }

    fn remove_lock(&self) {
        if let Some(lock_path) = &self.lock_path {
            let _ = fs_err::remove_file(lock_path);
        }
    }
}

impl Drop for LockedHome {
    fn drop(&mut self) {
        if self.attempted {
            return;
        }
        if self.keep {
            // Without it, it is a directory like any other: nobody sweeps it.
            return self.remove_lock();
        }
        if let Err(error) = self.remove_all() {
            tracing::warn!("{error}");
        }
    }
}

/// What it means that a file system has no locks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unlockable {
    /// Nobody else can lock it either, and we have just made it.
    IsOurs,
    /// Its owner may be alive.
    IsTaken,
}

/// Locks `file`. True if another process has locked it, or has removed it from `path`.
fn is_taken(file: &File, path: &Path, unlockable: Unlockable) -> io::Result<bool> {
    match file.file().try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(true),
        Err(TryLockError::Error(_)) => return Ok(unlockable == Unlockable::IsTaken),
    }
    let locked = file.metadata()?;
    let there = fs_err::symlink_metadata(path);
    Ok(!there.is_ok_and(|there| (there.dev(), there.ino()) == (locked.dev(), locked.ino())))
}

/// Nothing if somebody has removed it meanwhile.
fn try_lock_directory(path: &Path) -> Result<Option<File>, HomeError> {
    match mkdirat(CWD, path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(named("make the directory", path, error).into()),
    }
    let in_the_way = |problem| HomeError::InTheWay { path: path.to_owned(), problem };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match openat(CWD, path, flags, Mode::empty()) {
        Ok(directory) => File::from_parts(directory.into(), path),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP | Errno::NOTDIR) => return Err(in_the_way("is no directory")),
        Err(error) => return Err(named("open", path, error).into()),
    };
    let found = file.metadata()?;
    check_private(found.uid(), found.mode(), rustix::process::geteuid().as_raw()).map_err(in_the_way)?;
    match file.file().try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(HomeError::Busy(path.to_owned())),
        Err(TryLockError::Error(error)) => return Err(named("lock", path, error).into()),
    }
    Ok((!is_taken(&file, path, Unlockable::IsTaken)?).then_some(file))
}

/// Whether nobody but the user `own` can change what is in a directory of `owner` with `mode`.
fn check_private(owner: u32, mode: u32, own: u32) -> Result<(), &'static str> {
    if owner != own {
        Err("belongs to another user")
    } else if mode & 0o022 != 0 {
        Err("can be changed by other users")
    } else {
        Ok(())
    }
}

fn named(attempt: &str, path: &Path, error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    io::Error::new(error.kind(), format!("cannot {attempt} {}: {error}", path.display()))
}

impl From<HomeError> for io::Error {
    fn from(error: HomeError) -> Self {
        match error {
            HomeError::Io(error) => error,
            HomeError::Busy(_) => Self::new(ErrorKind::ResourceBusy, error),
            HomeError::InTheWay { .. } => Self::new(ErrorKind::PermissionDenied, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn names(base: &Path) -> Vec<PathBuf> {
        fs_err::read_dir(base).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn what_is_kept_is_swept_by_nobody() {
        let base = tempfile::tempdir().unwrap();
        let mut home = LockedHome::create(base.path(), "home-", 0o755).unwrap();
        home.keep();
        let kept = home.path().to_owned();
        drop(home);
        LockedHome::sweep(base.path(), "home-").unwrap();
        let left: Vec<_> =
            fs_err::read_dir(base.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, [kept]);
    }

    #[test]
    fn a_home_is_gone_when_dropped_even_with_closed_directories_in_it() {
        let base = tempfile::tempdir().unwrap();
        let home = LockedHome::create(base.path(), "home-", 0o755).unwrap();
        let closed = home.path().join("closed");
        fs_err::create_dir(&closed).unwrap();
        fs_err::write(closed.join("file"), "x").unwrap();
        fs_err::set_permissions(&closed, PermissionsExt::from_mode(0o000)).unwrap();
        drop(home);
        assert!(names(base.path()).is_empty());
    }

    /// A crash drops the lock with the process but leaves the files.
    #[test]
    fn what_a_crash_left_is_swept_and_what_is_in_use_is_not() {
        let base = tempfile::tempdir().unwrap();
        let alive = LockedHome::create(base.path(), "home-", 0o755).unwrap();
        fs_err::write(base.path().join("home-dead.lock"), "").unwrap();
        fs_err::create_dir(base.path().join("home-dead")).unwrap();
        fs_err::write(base.path().join("home-dead/file"), "x").unwrap();
        LockedHome::sweep(base.path(), "home-").unwrap();
        assert!(alive.path().is_dir());
        assert_eq!(names(base.path()).len(), 2);
    }

    #[test]
    fn locks_and_directories_of_others_stay() {
        let base = tempfile::tempdir().unwrap();
        fs_err::write(base.path().join("other-home.lock"), "").unwrap();
        fs_err::create_dir(base.path().join("other-home")).unwrap();
        fs_err::os::unix::fs::symlink("other-home.lock", base.path().join("home-link.lock")).unwrap();
        fs_err::create_dir(base.path().join("home-link")).unwrap();
        LockedHome::sweep(base.path(), "home-").unwrap();
        assert_eq!(names(base.path()).len(), 4);
    }

    /// Whoever can write to the directory around homes can put one there.
    #[test]
    fn a_fifo_instead_of_a_lock_is_not_waited_for() {
        let base = tempfile::tempdir().unwrap();
        let fifo = base.path().join("home-fifo.lock");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
        let started = Instant::now();
        LockedHome::sweep(base.path(), "home-").unwrap();
        assert!(started.elapsed() < Duration::from_secs(60));
        assert!(fifo.exists());
    }

    #[test]
    fn a_home_of_a_known_name_has_one_owner_at_a_time() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("home");
        let home = LockedHome::at(&path).unwrap();
        fs_err::write(path.join("half"), "x").unwrap();
        assert!(matches!(LockedHome::at(&path), Err(HomeError::Busy(busy)) if busy == path));
        drop(home);
        assert!(!path.exists());
        drop(LockedHome::at(&path).unwrap());
    }

    #[test]
    fn a_home_that_others_can_change_is_none() {
        let problem = |mode| check_private(7, mode, 7).err();
        assert_eq!((problem(0o700), problem(0o755)), (None, None));
        assert_eq!(problem(0o770), Some("can be changed by other users"));
        assert_eq!(check_private(8, 0o700, 7), Err("belongs to another user"));
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("home");
        fs_err::os::unix::fs::symlink(base.path(), &path).unwrap();
        assert!(matches!(LockedHome::at(&path), Err(HomeError::InTheWay { problem: "is no directory", .. })));
    }
}
