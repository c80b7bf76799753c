//! Puts the members of archives, and of layers of images one on top of the other, into a root file system in the making.
//! Knows nothing of where archives come from.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, fchmod, futimens, linkat, mkdirat, openat, statat,
    symlinkat,
};
use rustix::io::Errno;
use tar::EntryType;

use super::members::{Member, Problem, Reading, for_each, plain_path};
use crate::rootfs::error::{MemberProblem, RootfsError};
use crate::rootfs::inside::{Inside, set_mode};
use crate::scratch::removal::remove_at;

/// More than any root has, and less than would fill most disks.
const MOST_BYTES: u64 = 64 << 30;
const MOST_MEMBERS: u64 = 5_000_000;
/// Over all archives: layers are read twice, and there is more in them than the contents of files.
const MOST_READ_BYTES: u64 = 4 * MOST_BYTES;
/// Who else may write: the group and all others.
const OTHER_WRITERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// A file of this name says that everything below its directory in the layers below is gone (OCI image spec, layer).
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What a whiteout's name begins with; the rest is the name that is gone.
const WHITEOUT: &[u8] = b".wh.";
/// Other names that begin so belong to a union file system's own bookkeeping.
const BOOKKEEPING: &[u8] = b".wh..wh.";

/// What an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file system in itself: a name like any other may begin with `.wh.`.
    Plain,
    /// Changes to what is there.
    Layer,
}

/// Unpacks archives one after the other.
pub(crate) struct Unpacker<'a> {
    inside: &'a Inside,
    interrupted: &'a AtomicBool,
    /// Counted over all archives.
    pub bytes: u64,
    pub members: u64,
    /// Device nodes, FIFOs and sockets, which were left out.
    pub special_files: u64,
    /// Bytes that may still be read of archives.
    may_read: u64,
}

impl<'a> Unpacker<'a> {
    pub(crate) fn new(inside: &'a Inside, interrupted: &'a AtomicBool) -> Self {
        Self { inside, interrupted, bytes: 0, members: 0, special_files: 0, may_read: MOST_READ_BYTES }
    }

    /// Reads `layer` to its end and removes what the whiteouts in it hide. They mean the layers below, wherever in a
    /// layer they stand, so all of them come before the rest of it.
    pub(crate) fn hide(&mut self, layer: &mut dyn Read, name: &str) -> Result<(), RootfsError> {
        let reading = self.reading(layer, name, Kind::Layer);
        self.may_read -= for_each(reading, |path, _| {
            let Some((parent, own)) = split(path) else { return Ok(()) };
            match own.as_bytes() {
                OPAQUE => self.hide_all(parent),
                own if own.starts_with(BOOKKEEPING) => Ok(()),
                own if own.starts_with(WHITEOUT) => self.hide_one(parent, &own[WHITEOUT.len()..]),
                _ => Ok(()),
            }
        })?;
        Ok(())
    }

    fn reading<'r>(&self, tar: &'r mut dyn Read, name: &'r str, kind: Kind) -> Reading<'r>
    where
        'a: 'r,
    {
        let must_end = kind == Kind::Plain;
        Reading { tar, name, interrupted: self.interrupted, most_bytes: self.may_read, must_end }
    }

    fn hide_one(&mut self, parent: &Path, hidden: &[u8]) -> Result<(), Problem> {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(MemberProblem::Whiteout.into());
        }
        match self.inside.directory(parent) {
            Ok(parent) => Ok(remove_at(parent.as_fd(), Path::new(OsStr::from_bytes(hidden)))?),
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
            remove_at(directory.as_fd(), Path::new(OsStr::from_bytes(&name)))?;
        }
        Ok(())
    }

    /// Reads `tar`, which errors call `name`, to its end and unpacks it over what is there.
    pub(crate) fn unpack(&mut self, tar: &mut dyn Read, name: &str, kind: Kind) -> Result<(), RootfsError> {
        let start = self.members;
        let reading = self.reading(tar, name, kind);
        self.may_read -= for_each(reading, |path, entry| {
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

    fn place(&mut self, parent: &Path, name: &Path, entry: &mut Member<'_, '_>) -> Result<(), Problem> {
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
        remove_at(parent.as_fd(), name)?;
        Ok(parent)
    }

    fn make_directory(&mut self, parent: &Path, name: &Path, entry: &Member<'_, '_>) -> Result<(), Problem> {
        let parent = self.inside.make_directories(parent)?;
        match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
            Ok(_) => {
                remove_at(parent.as_fd(), name)?;
                mkdirat(&parent, name, Mode::RWXU)?;
            }
            Err(Errno::NOENT) => mkdirat(&parent, name, Mode::RWXU)?,
            Err(error) => return Err(error.into()),
        }
        let mode = mode_of(entry, 0o755) & 0o1777;
        let mode = if mode & STICKY == 0 { mode & !OTHER_WRITERS } else { mode };
        // Whoever unpacks has to get in again, and builds have to read.
        Ok(set_mode(parent.as_fd(), name, mode | 0o700)?)
    }

    fn write_file(&mut self, parent: &Path, name: &Path, entry: &mut Member<'_, '_>) -> Result<(), Problem> {
        let mode = mode_of(entry, 0o644) & 0o777 & !OTHER_WRITERS | 0o400;
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

    fn make_link(&mut self, parent: &Path, name: &Path, entry: &Member<'_, '_>) -> Result<(), Problem> {
        let target = entry.link_name_bytes().ok_or(MemberProblem::LinkEscapes)?;
        let target = plain_path(&target).ok_or(MemberProblem::LinkEscapes)?;
        let (target_parent, target_name) = split(&target).ok_or(MemberProblem::LinkEscapes)?;
        let target_parent = self.inside.directory(target_parent)?;
        let target = statat(&target_parent, target_name, AtFlags::SYMLINK_NOFOLLOW)?;
        let parent = self.inside.make_directories(parent)?;
        match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            // A link to itself, which must not be removed first.
            Ok(there) if (there.st_dev, there.st_ino) == (target.st_dev, target.st_ino) => return Ok(()),
            _ => remove_at(parent.as_fd(), name)?,
        }
        Ok(linkat(&target_parent, target_name, &parent, name, AtFlags::empty())?)
    }
}

/// The directory and the name in it; none for the root itself.
fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    Some((path.parent()?, path.file_name()?))
}

fn mode_of(entry: &Member<'_, '_>, default: u32) -> u32 {
    entry.header().mode().unwrap_or(default)
}

#[cfg(test)]
mod tests;
