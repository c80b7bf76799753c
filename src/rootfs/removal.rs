//! Removes trees that somebody else has shaped. However deep they are, it takes one open directory and no stack:
//! directories are moved up before they are looked into. Knows nothing of what is in them.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, SeekFrom, mkdirat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

use super::inside::set_mode;

/// A directory that is on the file system of all that is to be removed, and is used for nothing else.
#[derive(Debug)]
pub(super) struct Bin {
    directory: OwnedFd,
    next: u64,
}

impl Bin {
    /// Makes the directory `name` in `parent` if it is missing.
    pub(super) fn new(parent: BorrowedFd<'_>, name: &str) -> Result<Self, Errno> {
        match mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        Ok(Self { directory: open_directory(parent, Path::new(name))?, next: 0 })
    }

    /// Removes `name`, whatever it is, with everything in it; nothing is nothing to do.
    pub(super) fn remove(&mut self, parent: BorrowedFd<'_>, name: &Path) -> Result<(), Errno> {
        match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
            Ok(_) => return unlinkat(parent, name, AtFlags::empty()),
        }
        self.take(parent, name)?;
        self.empty()
    }

    /// Removes what was moved here.
    pub(super) fn empty(&mut self) -> Result<(), Errno> {
        loop {
            let waiting = entries(self.directory.as_fd())?;
            if waiting.is_empty() {
                return Ok(());
            }
            for (name, _) in waiting {
                let name = path_of(&name);
                if is_directory(self.directory.as_fd(), name)? {
                    let directory = open_directory(self.directory.as_fd(), name)?;
                    for (child, file_type) in entries(directory.as_fd())? {
                        let child = path_of(&child);
                        let nested = match file_type {
                            FileType::Unknown => is_directory(directory.as_fd(), child)?,
                            known => known == FileType::Directory,
                        };
                        if nested {
                            self.take(directory.as_fd(), child)?;
                        } else {
                            unlinkat(&directory, child, AtFlags::empty())?;
                        }
                    }
                    unlinkat(&self.directory, name, AtFlags::REMOVEDIR)?;
                } else {
                    unlinkat(&self.directory, name, AtFlags::empty())?;
                }
            }
        }
    }

    /// Moves a directory here. To move one, its owner has to be allowed to write to it.
    fn take(&mut self, parent: BorrowedFd<'_>, name: &Path) -> Result<(), Errno> {
        set_mode(parent, name, 0o700)?;
        loop {
            let place = format!("{}", self.next);
            self.next += 1;
            match renameat(parent, name, &self.directory, &place) {
                // A crash left it, and it has something in it.
                Err(Errno::NOTEMPTY | Errno::EXIST) => {}
                other => return other,
            }
        }
    }
}

fn path_of(name: &CString) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()))
}

fn is_directory(parent: BorrowedFd<'_>, name: &Path) -> Result<bool, Errno> {
    let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

fn open_directory(parent: BorrowedFd<'_>, name: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

fn entries(directory: BorrowedFd<'_>) -> Result<Vec<(CString, FileType)>, Errno> {
    // It may have been listed before.
    rustix::fs::seek(directory, SeekFrom::Start(0))?;
    let mut buffer = [MaybeUninit::uninit(); 8192];
    let mut listing = RawDir::new(directory, &mut buffer);
    let mut entries = Vec::new();
    while let Some(entry) = listing.next() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            entries.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn open(path: &Path) -> OwnedFd {
        fs_err::File::open(path).unwrap().into_parts().0.into()
    }

    /// Deeper than any path can be, and than a stack is for functions that call themselves.
    #[test]
    fn the_deepest_tree_is_gone_and_what_links_lead_to_is_not() {
        let directory = tempfile::tempdir().unwrap();
        fs_err::write(directory.path().join("precious"), "x").unwrap();
        let top = open(directory.path());
        let mut parent = open(directory.path());
        for _ in 0..5000 {
            mkdirat(&parent, "d", Mode::from_raw_mode(0o700)).unwrap();
            parent = open_directory(parent.as_fd(), Path::new("d")).unwrap();
        }
        rustix::fs::symlinkat(directory.path(), &parent, "link").unwrap();
        let mut bin = Bin::new(top.as_fd(), "bin").unwrap();
        bin.remove(top.as_fd(), Path::new("d")).unwrap();
        bin.remove(top.as_fd(), Path::new("absent")).unwrap();
        let left: Vec<_> =
            fs_err::read_dir(directory.path()).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(directory.path().join("precious").exists());
        assert_eq!(fs_err::read_dir(directory.path().join("bin")).unwrap().count(), 0);
    }

    #[test]
    fn closed_directories_and_leftovers_are_no_obstacle() {
        let directory = tempfile::tempdir().unwrap();
        let closed = directory.path().join("tree/closed");
        fs_err::create_dir_all(closed.join("inner")).unwrap();
        fs_err::set_permissions(&closed, PermissionsExt::from_mode(0o000)).unwrap();
        fs_err::create_dir_all(directory.path().join("bin/0/left")).unwrap();
        let top = open(directory.path());
        let mut bin = Bin::new(top.as_fd(), "bin").unwrap();
        bin.remove(top.as_fd(), Path::new("tree")).unwrap();
        assert_eq!(fs_err::read_dir(directory.path().join("bin")).unwrap().count(), 0);
        assert!(!directory.path().join("tree").exists());
    }
}
