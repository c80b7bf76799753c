//! A root file system by its descriptor. Every path is looked up as if the root were `/` (openat2 with
//! `RESOLVE_IN_ROOT`), so that no link and no `..` in it leads anywhere else. Knows nothing of what is put there.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, mkdirat, openat2, statat};
use rustix::io::Errno;

/// The kernel asks to try again when something, anywhere, was renamed while it looked up a `..`.
const MOST_TRIES: usize = 1000;

/// An open root file system.
#[derive(Debug)]
pub(super) struct Inside {
    root: OwnedFd,
}

impl Inside {
    /// # Errors
    /// If `root` is no directory that can be read; the error names it.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let root = fs_err::OpenOptions::new().read(true).open(root)?;
        if !root.metadata()?.is_dir() {
            let problem = format!("{} is not a directory", root.path().display());
            return Err(io::Error::new(io::ErrorKind::NotADirectory, problem));
        }
        Ok(Self { root: root.into_parts().0.into() })
    }

    /// Opens what `path` leads to. It may be absolute.
    pub(super) fn at(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        // An absolute path would start at the root as well, but an empty one means nothing.
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = flags | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..MOST_TRIES {
            match openat2(&self.root, path, flags, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// The directory that `path` leads to, to name things in it.
    pub(super) fn directory(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.at(path, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// As [`Inside::directory`]; what is missing of it is made, with mode 0755.
    pub(super) fn make_directories(&self, path: &Path) -> Result<OwnedFd, Errno> {
        match self.directory(path) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
        let mut so_far = PathBuf::new();
        let mut parent = self.directory(&so_far)?;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            match mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                Ok(()) => set_mode(parent.as_fd(), Path::new(name), 0o755)?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            so_far.push(name);
            parent = self.directory(&so_far)?;
        }
        Ok(parent)
    }

    /// The first bytes of the file that `path` leads to.
    pub(super) fn read(&self, path: &Path, most: u64) -> Option<Vec<u8>> {
        // Without waiting, should it be a FIFO.
        let file = File::from(self.at(path, OFlags::RDONLY | OFlags::NONBLOCK).ok()?);
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// What `path` leads to.
    pub(super) fn stat(&self, path: &Path) -> Option<Stat> {
        rustix::fs::fstat(self.at(path, OFlags::PATH).ok()?).ok()
    }

    pub(super) fn has_file(&self, path: &Path) -> bool {
        self.stat(path).is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
    }

    pub(super) fn has_directory(&self, path: &Path) -> bool {
        self.directory(path).is_ok()
    }

    /// Whether there is anything of that name, a link that leads nowhere included.
    pub(super) fn has_name(&self, path: &Path) -> bool {
        let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else { return true };
        self.directory(parent).is_ok_and(|parent| statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).is_ok())
    }
}

/// Where on this host is what `path` leads to in the root file system `root`, whose links stay inside it.
///
/// # Errors
/// If there is nothing, or no such root.
pub fn resolve_in_root(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let found = Inside::open(root)?.at(path, OFlags::PATH)?;
    fs_err::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))
}

/// Sets the mode of `name`, which is not a link, whatever the umask was when it was made.
pub(super) fn set_mode(parent: BorrowedFd<'_>, name: &Path, mode: u32) -> Result<(), Errno> {
    rustix::fs::chmodat(parent, name, Mode::from_raw_mode(mode), AtFlags::empty())
}
