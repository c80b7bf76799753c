//! Removes directory trees. What takes time is that a file system gives back the blocks of a directory when the
//! last reference to it goes, and that some wait for the disk to take note (ext4 mounted with `discard`: some
//! 0.1 ms per directory on a calm machine, 4 ms on a busy one). So directories are kept open while a tree is
//! taken apart, and then closed by several threads. Knows nothing of what is in a tree.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, openat, unlinkat};
use rustix::io::Errno;

/// Directories that are open at a time because they were removed. A process may often have 1024.
const MOST_OPEN: usize = 256;
/// Fewer directories than this are not worth a thread.
const PER_THREAD: usize = 2;
const MOST_THREADS: usize = 8;

/// Removes the directory `path` and everything in it, if it exists. Directories that were made inaccessible are
/// opened up first.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    remove_trees([path])
}

/// As [`remove_tree`], several at a time.
pub(super) fn remove_trees<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> io::Result<()> {
    let mut removed = Removed(Vec::new());
    for path in paths {
        let path = path.as_ref();
        if take_apart(path, &mut removed).is_err() {
            remove_thoroughly(path)?;
        }
    }
    Ok(())
}

/// Also does what is out of the ordinary.
fn remove_thoroughly(path: &Path) -> io::Result<()> {
    match fs_err::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_directories(path)?;
            fs_err::remove_dir_all(path)
        }
        other => other,
    }
}

fn take_apart(path: &Path, removed: &mut Removed) -> rustix::io::Result<()> {
    let directory = open_directory(CWD, path)?;
    empty(&directory, removed)?;
    unlinkat(CWD, path, AtFlags::REMOVEDIR)?;
    removed.keep(directory);
    Ok(())
}

fn empty(directory: &OwnedFd, removed: &mut Removed) -> rustix::io::Result<()> {
    for (name, file_type) in entries(directory.as_fd())? {
        match file_type {
            FileType::Directory => {
                let child = open_directory(directory.as_fd(), &name)?;
                empty(&child, removed)?;
                unlinkat(directory, &name, AtFlags::REMOVEDIR)?;
                removed.keep(child);
            }
            FileType::Unknown => return Err(Errno::NOTSUP),
            _ => unlinkat(directory, &name, AtFlags::empty())?,
        }
    }
    Ok(())
}

fn open_directory(parent: BorrowedFd<'_>, name: impl rustix::path::Arg) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

fn entries(directory: BorrowedFd<'_>) -> rustix::io::Result<Vec<(CString, FileType)>> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
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

/// Directories that are gone but for us, who have them open.
struct Removed(Vec<OwnedFd>);

impl Removed {
    fn keep(&mut self, directory: OwnedFd) {
        self.0.push(directory);
        if self.0.len() >= MOST_OPEN {
            self.close();
        }
    }

    fn close(&mut self) {
        let threads = (self.0.len() / PER_THREAD).clamp(1, MOST_THREADS);
        let share = self.0.len().div_ceil(threads);
        thread::scope(|scope| {
            while self.0.len() > share {
                let directories = self.0.split_off(self.0.len() - share);
                // Without threads to give, what was to be closed by one was closed when it failed to start.
                let _ = thread::Builder::new().spawn_scoped(scope, || drop(directories));
            }
            self.0.clear();
        });
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        self.close();
    }
}

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

    #[test]
    fn a_tree_of_many_directories_is_gone_and_what_links_in_it_lead_to_is_not() {
        let root = tempfile::tempdir().unwrap();
        let outside = root.path().join("outside");
        fs_err::create_dir(&outside).unwrap();
        fs_err::write(outside.join("precious"), "x").unwrap();
        let tree = root.path().join("tree");
        for directory in 0..300 {
            let directory = tree.join(format!("{}/{directory}", directory % 7));
            fs_err::create_dir_all(&directory).unwrap();
            fs_err::write(directory.join("file"), "x").unwrap();
            fs_err::os::unix::fs::symlink(&outside, directory.join("link")).unwrap();
        }
        take_apart(&tree, &mut Removed(Vec::new())).unwrap();
        assert!(!tree.exists());
        assert!(outside.join("precious").exists());
    }

    #[test]
    fn nothing_is_nothing_to_do_and_a_link_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        remove_tree(&root.path().join("absent")).unwrap();
        let outside = root.path().join("outside");
        fs_err::create_dir(&outside).unwrap();
        fs_err::write(outside.join("precious"), "x").unwrap();
        fs_err::os::unix::fs::symlink(&outside, root.path().join("link")).unwrap();
        let _ = remove_tree(&root.path().join("link"));
        assert!(outside.join("precious").exists());
    }
}
