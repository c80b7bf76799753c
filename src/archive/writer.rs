//! Writes placed members below the destination, and takes everything back if the archive turns out bad.
//! Knows nothing of formats; what may be placed is the layout's decision.
//!
//! Everything is made in a top-level directory that must not exist before, and never over something that
//! is there. Until the last file is written there is no symlink in it, and nothing is ever placed below a
//! path that becomes one, so no path leads anywhere but down. The umask has no say: every mode is set
//! explicitly.
//!
//! Paths are resolved from the destination's descriptor each time: for source trees, with two files to a
//! directory, opening and closing directories on the way costs more than the kernel's walk.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, chmodat, fchmod, fstat, futimens, mkdirat, open,
    openat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::error::Trouble;
use super::layout::{Action, Layout};
use super::member::{Content, FileMode, Member, Mtime, Receiver};
use crate::contract::ArchiveLimits;
use crate::scratch::removal::remove;

/// Mode of every directory.
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o755);

/// Receives members and writes them.
pub(super) struct Writer<'l> {
    layout: Layout<'l>,
    destination: OwnedFd,
    undo: Undo,
}

/// What was unpacked, the hash and place of it aside.
pub(super) struct Unpacked {
    pub top_level: String,
    pub members: u64,
    pub bytes: u64,
    pub has_native_sources: bool,
}

impl<'l> Writer<'l> {
    /// Makes `destination` if it is missing. `archive_bytes` is the size of the archive file.
    pub(super) fn open(
        destination: &Path,
        limits: &'l ArchiveLimits,
        archive_bytes: u64,
    ) -> Result<Self, Trouble> {
        let mut undo = Undo { destination: destination.to_owned(), made_destination: false, top_level: None };
        let failed = |errno: Errno| Trouble::Write { path: destination.to_owned(), source: errno.into() };
        match mkdirat(CWD, destination, DIRECTORY_MODE) {
            Ok(()) => undo.made_destination = true,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = open(destination, flags, Mode::empty()).map_err(failed)?;
        Ok(Self { layout: Layout::new(limits, archive_bytes), destination: descriptor, undo })
    }

    /// Checks and makes the symlinks, gives the directories their mode and time, and keeps the tree.
    pub(super) fn finish(mut self) -> Result<Unpacked, Trouble> {
        let top_level = self.layout.finish().map_err(Trouble::from_layout)?.to_owned();
        let Self { layout, destination, undo } = &mut self;
        for (path, target, mtime) in layout.symlinks() {
            make_symlink(destination, path, target, mtime).map_err(|errno| undo.failed(path, errno))?;
        }
        for (path, mtime) in layout.directories() {
            finish_directory(destination, path, mtime).map_err(|errno| undo.failed(path, errno))?;
        }
        undo.keep();
        Ok(Unpacked {
            top_level,
            members: layout.members,
            bytes: layout.bytes,
            has_native_sources: layout.has_native_sources,
        })
    }

    fn make_directory(&mut self, path: &str) -> Result<(), Trouble> {
        mkdirat(&self.destination, path, Mode::RWXU).map_err(|errno| self.undo.failed(path, errno))?;
        if !path.contains('/') {
            self.undo.top_level = Some(path.to_owned());
        }
        Ok(())
    }

    fn write_file(
        &mut self,
        path: &str,
        replace: bool,
        mode: FileMode,
        mtime: Mtime,
        content: &mut dyn Content,
    ) -> Result<(), Trouble> {
        let mut file =
            make_file(&self.destination, path, replace).map_err(|errno| self.undo.failed(path, errno))?;
        loop {
            match content.chunk()? {
                [] => break,
                piece => file.write_all(piece).map_err(|error| self.undo.failed(path, error))?,
            }
        }
        finish_file(&file, Mode::from_raw_mode(mode.bits()), mtime)
            .map_err(|errno| self.undo.failed(path, errno))
    }

    fn copy_file(&mut self, source: &str, path: &str, replace: bool) -> Result<(), Trouble> {
        copy_file(&self.destination, source, path, replace).map_err(|error| self.undo.failed(path, error))
    }
}

impl Receiver for Writer<'_> {
    fn member(&mut self, member: &Member, content: &mut dyn Content) -> Result<(), Trouble> {
        let placement = self.layout.place(member)?;
        for directory in &placement.new_directories {
            self.make_directory(directory)?;
        }
        let path = member.path.as_str();
        match placement.action {
            Action::None => Ok(()),
            Action::Copy { source, replace } => self.copy_file(source.as_str(), path, replace),
            Action::Write { mode, replace } => self.write_file(path, replace, mode, member.mtime, content),
        }
    }
}

fn make_file(destination: &OwnedFd, path: &str, replace: bool) -> Result<File, Errno> {
    if replace {
        unlinkat(destination, path, AtFlags::empty())?;
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(openat(destination, path, flags, Mode::RUSR | Mode::WUSR)?))
}

fn copy_file(destination: &OwnedFd, source: &str, path: &str, replace: bool) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut source = File::from(openat(destination, source, flags, Mode::empty())?);
    let mut file = make_file(destination, path, replace)?;
    io::copy(&mut source, &mut file)?;
    // One file with two names has one mode and one time.
    let status = fstat(&source)?;
    let mode = Mode::from_raw_mode(status.st_mode & 0o777);
    Ok(finish_file(&file, mode, Mtime::clamped(status.st_mtime))?)
}

fn finish_file(file: &File, mode: Mode, mtime: Mtime) -> Result<(), Errno> {
    fchmod(file, mode)?;
    futimens(file, &times(mtime))
}

fn make_symlink(destination: &OwnedFd, path: &str, target: &str, mtime: Mtime) -> Result<(), Errno> {
    symlinkat(target, destination, path)?;
    utimensat(destination, path, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)
}

fn finish_directory(destination: &OwnedFd, path: &str, mtime: Mtime) -> Result<(), Errno> {
    chmodat(destination, path, DIRECTORY_MODE, AtFlags::empty())?;
    utimensat(destination, path, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)
}

fn times(mtime: Mtime) -> Timestamps {
    let time = Timespec { tv_sec: mtime.seconds(), tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}

/// Removes what was made when dropped, unless told to keep it.
struct Undo {
    destination: PathBuf,
    made_destination: bool,
    top_level: Option<String>,
}

impl Undo {
    fn keep(&mut self) {
        self.made_destination = false;
        self.top_level = None;
    }

    fn failed(&self, path: &str, error: impl Into<io::Error>) -> Trouble {
        Trouble::Write { path: self.destination.join(path), source: error.into() }
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        // There is nobody to report an error to: the one that led here is on its way already.
        if let Some(top_level) = &self.top_level {
            let _ = remove(self.destination.join(top_level));
        }
        if self.made_destination {
            let _ = fs_err::remove_dir(&self.destination);
        }
    }
}
