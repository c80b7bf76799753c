//! Unpacks tar archives and layers of images into a root file system in the making. Whatever an archive says, nothing
//! outside of that is touched: names have no `..`, parents are looked up inside the root, and what is at the last part
//! of a name is never followed. Knows nothing of where archives come from.
//!
//! Roots serve builds that run as one user, so owners are ignored (everything belongs to whoever unpacks it, and no
//! other user of the host can change it), and so are setuid and setgid bits, extended attributes and device nodes.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, fchmod, futimens, linkat, mkdirat, openat, statat,
    symlinkat,
};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};

use super::error::{MemberProblem, RootfsError};
use super::inside::{Inside, set_mode};
use super::removal::Bin;

/// More than any root has, and less than would fill most disks.
const MOST_BYTES: u64 = 64 << 30;
const MOST_MEMBERS: u64 = 5_000_000;

/// A file of this name says that everything below its directory in the layers below is gone (OCI image spec, layer).
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What a whiteout's name begins with; the rest is the name that is gone.
const WHITEOUT: &[u8] = b".wh.";
/// Other names that begin so belong to a union file system's own bookkeeping.
const BOOKKEEPING: &[u8] = b".wh..wh.";

/// What an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file system in itself: a name like any other may begin with `.wh.`.
    Plain,
    /// Changes to what is there.
    Layer,
}

/// Unpacks archives one after the other.
pub(super) struct Unpacker<'a> {
    inside: &'a Inside,
    bin: Bin,
    interrupted: &'a AtomicBool,
    /// Counted over all archives.
    pub bytes: u64,
    pub members: u64,
    /// Device nodes, FIFOs and sockets, which were left out.
    pub special_files: u64,
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(inside: &'a Inside, bin: Bin, interrupted: &'a AtomicBool) -> Self {
        Self { inside, bin, interrupted, bytes: 0, members: 0, special_files: 0 }
    }

    /// Removes what the whiteouts in `layer` hide. They mean the layers below, wherever in a layer they stand, so all
    /// of them come before the rest of it.
    pub(super) fn hide(&mut self, layer: &mut dyn Read, name: &str) -> Result<(), RootfsError> {
        for_each(layer, name, self.interrupted, |path, _| {
            let Some((parent, own)) = split(path) else { return Ok(()) };
            match own.as_bytes() {
                OPAQUE => self.hide_all(parent),
                own if own.starts_with(BOOKKEEPING) => Ok(()),
                own if own.starts_with(WHITEOUT) => self.hide_one(parent, &own[WHITEOUT.len()..]),
                _ => Ok(()),
            }
        })
    }

    fn hide_one(&mut self, parent: &Path, hidden: &[u8]) -> Result<(), Problem> {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(MemberProblem::Whiteout.into());
        }
        match self.inside.directory(parent) {
            Ok(parent) => Ok(self.bin.remove(parent.as_fd(), Path::new(OsStr::from_bytes(hidden)))?),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn hide_all(&mut self, directory: &Path) -> Result<(), Problem> {
        let directory = match self.inside.at(directory, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&directory)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if !matches!(name.as_slice(), b"." | b"..") {
                names.push(name);
            }
        }
        for name in names {
            self.bin.remove(directory.as_fd(), Path::new(OsStr::from_bytes(&name)))?;
        }
        Ok(())
    }

    /// Unpacks `tar`, which errors call `name`, over what is there.
    pub(super) fn unpack(&mut self, tar: &mut dyn Read, name: &str, kind: Kind) -> Result<(), RootfsError> {
        let (interrupted, start) = (self.interrupted, self.members);
        for_each(tar, name, interrupted, |path, entry| {
            self.members += 1;
            if self.members > MOST_MEMBERS {
                return Err(Problem::TooMuch(format!("{MOST_MEMBERS} files")));
            }
            let Some((parent, own)) = split(path) else { return Ok(()) };
            if kind == Kind::Layer && own.as_bytes().starts_with(WHITEOUT) {
                return Ok(());
            }
            self.place(parent, Path::new(own), entry)
        })?;
        tracing::debug!(archive = name, members = self.members - start, "unpacked");
        Ok(())
    }

    fn place(
        &mut self,
        parent: &Path,
        name: &Path,
        entry: &mut Entry<'_, &mut dyn Read>,
    ) -> Result<(), Problem> {
        match entry.header().entry_type() {
            EntryType::Directory => self.make_directory(parent, name, entry),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.write_file(parent, name, entry)
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().ok_or(MemberProblem::LinkEscapes)?;
                let parent = self.make_way(parent, name)?;
                Ok(symlinkat(Path::new(OsStr::from_bytes(&target)), &parent, name)?)
            }
            EntryType::Link => self.make_link(parent, name, entry),
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                self.special_files += 1;
                Ok(())
            }
            // Settings for all members that follow, such as a comment with a commit's id.
            EntryType::XGlobalHeader => Ok(()),
            other => Err(MemberProblem::Type(other.as_byte()).into()),
        }
    }

    /// Opens the directory `parent`, and removes what is in the place of something new.
    fn make_way(&mut self, parent: &Path, name: &Path) -> Result<OwnedFd, Problem> {
        let parent = self.inside.make_directories(parent)?;
        self.bin.remove(parent.as_fd(), name)?;
        Ok(parent)
    }

    fn make_directory(
        &mut self,
        parent: &Path,
        name: &Path,
        entry: &Entry<'_, &mut dyn Read>,
    ) -> Result<(), Problem> {
        let parent = self.inside.make_directories(parent)?;
        match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
            Ok(_) => {
                self.bin.remove(parent.as_fd(), name)?;
                mkdirat(&parent, name, Mode::RWXU)?;
            }
            Err(Errno::NOENT) => mkdirat(&parent, name, Mode::RWXU)?,
            Err(error) => return Err(error.into()),
        }
        // Whoever unpacks has to get in again, and builds have to read.
        Ok(set_mode(parent.as_fd(), name, mode_of(entry, 0o755) & 0o1777 | 0o700)?)
    }

    fn write_file(
        &mut self,
        parent: &Path,
        name: &Path,
        entry: &mut Entry<'_, &mut dyn Read>,
    ) -> Result<(), Problem> {
        let mode = mode_of(entry, 0o644) & 0o777 | 0o400;
        let seconds =
            entry.header().mtime().ok().and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(0);
        let parent = self.make_way(parent, name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&parent, name, flags, Mode::RUSR | Mode::WUSR)?);
        let mut buffer = [0; 64 << 10];
        loop {
            let count = match entry.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Problem::Archive(error)),
            };
            self.bytes += count as u64;
            if self.bytes > MOST_BYTES {
                return Err(Problem::TooMuch(format!("{} GiB", MOST_BYTES >> 30)));
            }
            file.write_all(&buffer[..count])
                .map_err(|error| Problem::from(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        }
        fchmod(&file, Mode::from_raw_mode(mode))?;
        let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
        Ok(futimens(&file, &Timestamps { last_access: time, last_modification: time })?)
    }

    fn make_link(
        &mut self,
        parent: &Path,
        name: &Path,
        entry: &Entry<'_, &mut dyn Read>,
    ) -> Result<(), Problem> {
        let target = entry.link_name_bytes().ok_or(MemberProblem::LinkEscapes)?;
        let target = plain_path(&target).ok_or(MemberProblem::LinkEscapes)?;
        let (target_parent, target_name) = split(&target).ok_or(MemberProblem::LinkEscapes)?;
        let target_parent = self.inside.directory(target_parent)?;
        let target = statat(&target_parent, target_name, AtFlags::SYMLINK_NOFOLLOW)?;
        let parent = self.inside.make_directories(parent)?;
        match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            // A link to itself, which must not be removed first.
            Ok(there) if (there.st_dev, there.st_ino) == (target.st_dev, target.st_ino) => return Ok(()),
            _ => self.bin.remove(parent.as_fd(), name)?,
        }
        Ok(linkat(&target_parent, target_name, &parent, name, AtFlags::empty())?)
    }
}

/// Why a member could not be unpacked; [`for_each`] knows which it was.
enum Problem {
    Member(MemberProblem),
    Archive(io::Error),
    TooMuch(String),
}

impl From<MemberProblem> for Problem {
    fn from(problem: MemberProblem) -> Self {
        Self::Member(problem)
    }
}

impl From<Errno> for Problem {
    fn from(error: Errno) -> Self {
        Self::Member(MemberProblem::Write(error))
    }
}

/// Calls `act` for every member with its name, in which no part is empty, `.` or `..`.
fn for_each<'r>(
    tar: &'r mut dyn Read,
    name: &str,
    interrupted: &AtomicBool,
    mut act: impl FnMut(&Path, &mut Entry<'_, &'r mut dyn Read>) -> Result<(), Problem>,
) -> Result<(), RootfsError> {
    let unreadable = |source: io::Error| match interrupted.load(Ordering::Relaxed) {
        true => RootfsError::Interrupted,
        false => RootfsError::Archive { archive: name.to_owned(), source },
    };
    let mut archive = Archive::new(tar);
    for entry in archive.entries().map_err(unreadable)? {
        if interrupted.load(Ordering::Relaxed) {
            return Err(RootfsError::Interrupted);
        }
        let mut entry = entry.map_err(unreadable)?;
        let bytes = entry.path_bytes().into_owned();
        let member = |problem| RootfsError::Member {
            archive: name.to_owned(),
            member: String::from_utf8_lossy(&bytes).into_owned(),
            problem,
        };
        let sparse = |key: &str| key.starts_with("GNU.sparse.");
        if let Some(extensions) = entry.pax_extensions().map_err(unreadable)? {
            for extension in extensions.flatten() {
                if extension.key().is_ok_and(sparse) {
                    return Err(member(MemberProblem::Sparse));
                }
            }
        }
        let path = plain_path(&bytes).ok_or_else(|| member(MemberProblem::Escapes))?;
        act(&path, &mut entry).map_err(|problem| match problem {
            Problem::Member(problem) => member(problem),
            Problem::Archive(source) => unreadable(source),
            Problem::TooMuch(limit) => RootfsError::TooMuch { archive: name.to_owned(), limit },
        })?;
    }
    Ok(())
}

/// A name as a relative path without empty parts and `.`; none if there is a `..` in it. (What else is wrong with a
/// name the kernel says.)
fn plain_path(name: &[u8]) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return None,
            part => path.push(OsStr::from_bytes(part)),
        }
    }
    Some(path)
}

/// The directory and the name in it; none for the root itself.
fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    Some((path.parent()?, path.file_name()?))
}

fn mode_of(entry: &Entry<'_, &mut dyn Read>, default: u32) -> u32 {
    entry.header().mode().unwrap_or(default)
}

#[cfg(test)]
mod tests;
