//! Removes whatever somebody else has shaped: trees of any depth and width, and of any modes. Knows nothing of what is
//! in them.
//!
//! Nothing here calls itself, and nothing is read to memory as a whole. A tree is taken apart from its leaves, with one
//! open directory for each of [`MOST_LEVELS`] levels; a directory that lies deeper is moved up into the top of the tree
//! first. No link is followed, no other file system is entered, and directories that were closed are opened up. What
//! cannot be removed is left, and all the rest goes.
//!
//! What takes time is that a file system gives back the blocks of a directory when the last reference to it goes, and
//! that some wait for the disk to take note (ext4 mounted with `discard`: some 0.1 ms for each on a calm machine, 4 ms
//! on a busy one). Where somebody waits ([`remove_for_waiting`]), directories are kept open for a moment, and closed by
//! several threads.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, ResolveFlags, SeekFrom, StatxAttributes, StatxFlags,
    fchmod, openat, openat2, renameat, statat, statx, unlinkat,
};
use rustix::io::Errno;

/// Levels of a tree that are open at a time.
const MOST_LEVELS: usize = 16;
/// Levels that are gone of each directory that was moved up, at least, before the next is listed.
const LEVELS_PER_PASS: u64 = 8;
/// How often a directory is listed that somebody puts things into while it is removed.
const MOST_PASSES: u64 = 10;
/// How often that happens in a whole tree.
const MOST_PASSES_IN_ALL: u32 = 1000;
/// How many directories are moved up in a tree: what is deeper than sixteen million levels is still being made.
const MOST_MOVES: u64 = 1 << 20;
/// Bytes of names that are read at a time.
const LISTED: usize = 8 << 10;
/// What an entry of a listing takes at most.
const LARGEST_ENTRY: usize = 280;

/// Removed directories that are open at a time, where somebody waits.
const MOST_OPEN: usize = 32;
/// Fewer of them than this are not worth a thread.
const PER_THREAD: usize = 2;
const MOST_THREADS: usize = 8;

/// The first thing that could not be removed; what does not need it to go is gone.
#[derive(Debug, thiserror::Error)]
#[error("cannot remove {path:?}: {source} ({removed} files and directories around it were removed)")]
pub struct RemovalError {
    /// Where it is now, which may be further up in its tree than where it was.
    pub path: PathBuf,
    /// Files and directories that are gone.
    pub removed: u64,
    pub source: io::Error,
}

impl From<RemovalError> for io::Error {
    fn from(error: RemovalError) -> Self {
        Self::new(error.source.kind(), error)
    }
}

/// Removes `path`, whatever it is, with everything in it; nothing is nothing to do.
///
/// # Errors
/// [`RemovalError`] if something of it is left: it is another user's, the kernel protects it, or somebody keeps
/// putting things there.
pub fn remove(path: impl AsRef<Path>) -> Result<(), RemovalError> {
    remove_at(CWD, path.as_ref())
}

/// As [`remove`], of `name` in the open directory `parent`.
///
/// # Errors
/// As [`remove`]; paths in errors begin with `name`.
pub fn remove_at(parent: BorrowedFd<'_>, name: &Path) -> Result<(), RemovalError> {
    Removal::new(parent, name, &mut Closing::AtOnce).run()
}

/// As [`remove`], for several and with more threads: somebody waits for it.
///
/// # Errors
/// As [`remove`], of the first with which something is wrong; the others are gone as well.
pub fn remove_for_waiting<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<(), RemovalError> {
    let mut closing = Closing::Together(Vec::new());
    let remove = |path: P| Removal::new(CWD, path.as_ref(), &mut closing).run();
    paths.into_iter().map(remove).fold(Ok(()), Result::and)
}

/// A tree that is being taken apart.
struct Removal<'a> {
    parent: BorrowedFd<'a>,
    name: &'a Path,
    /// From the top of the tree down to where we are.
    levels: Vec<Level>,
    /// Names of what is moved to the top begin with it, so that nobody can have made them.
    token: String,
    moves: u64,
    /// Of what was moved, where it was.
    deepest: u64,
    passes: u32,
    removed: u64,
    failure: Option<(PathBuf, Errno)>,
    closing: &'a mut Closing,
}

/// A directory that is being emptied.
struct Level {
    directory: OwnedFd,
    /// In the level above; nothing at the top.
    name: CString,
    /// How deep it lay in the tree.
    depth: u64,
    /// Directories in it that were listed.
    waiting: Vec<CString>,
    /// It seems that all of it was listed.
    listed: bool,
    /// In this pass it has seemed so before, and was not.
    mistaken: bool,
    passes: u64,
    /// Something in it cannot be removed.
    failed: bool,
    /// Something was moved into it since the listing began.
    grown: bool,
}

impl<'a> Removal<'a> {
    fn new(parent: BorrowedFd<'a>, name: &'a Path, closing: &'a mut Closing) -> Self {
        Self {
            parent,
            name,
            levels: Vec::new(),
            token: String::new(),
            moves: 0,
            deepest: 0,
            passes: 0,
            removed: 0,
            failure: None,
            closing,
        }
    }

    fn run(mut self) -> Result<(), RemovalError> {
        self.start();
        while let Some(level) = self.levels.last_mut() {
            match level.waiting.pop() {
                Some(name) => self.enter(name),
                None if level.listed && !level.failed => self.leave(),
                None => self.list(),
            }
        }
        let removed = self.removed;
        self.failure.map_or(Ok(()), |(path, errno)| Err(RemovalError { path, removed, source: errno.into() }))
    }

    fn start(&mut self) {
        let flags = directory_flags();
        let mut opened = openat(self.parent, self.name, flags, Mode::empty());
        if opened.as_ref().is_err_and(|error| *error == Errno::ACCESS) && open_up(self.parent, self.name) {
            opened = openat(self.parent, self.name, flags, Mode::empty());
        }
        match opened {
            Ok(directory) if is_mount(&directory) => self.failure = Some((self.name.to_owned(), Errno::XDEV)),
            Ok(directory) => self.levels.push(Level::new(directory, CString::default(), 0)),
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR | Errno::LOOP) => match unlinkat(self.parent, self.name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => self.failure = Some((self.name.to_owned(), error)),
            },
            Err(error) => self.failure = Some((self.name.to_owned(), error)),
        }
    }

    /// Goes down into a directory, or moves it up if that is far enough.
    fn enter(&mut self, name: CString) {
        if self.levels.len() >= MOST_LEVELS && self.move_up(&name) {
            return;
        }
        match self.open(&name) {
            Ok(directory) => {
                let depth = self.depth_of(&name);
                self.levels.push(Level::new(directory, name, depth));
            }
            Err(Errno::NOENT) => {}
            // Whoever made it has made something else of it.
            Err(Errno::NOTDIR | Errno::LOOP) => self.unlink(&name),
            Err(Errno::MFILE | Errno::NFILE) if self.levels.len() > 1 && self.move_up(&name) => {}
            Err(error) => self.fail(Some(&name), error),
        }
    }

    fn open(&mut self, name: &CStr) -> Result<OwnedFd, Errno> {
        let Some(level) = self.levels.last() else { return Err(Errno::NOENT) };
        match open_below(&level.directory, name) {
            Err(Errno::MFILE | Errno::NFILE) => {
                self.closing.close();
                open_below(&level.directory, name)
            }
            Err(Errno::ACCESS) => {
                // That one or this one is closed.
                let _ = fchmod(&level.directory, Mode::RWXU);
                open_up(level.directory.as_fd(), name);
                open_below(&level.directory, name)
            }
            other => other,
        }
    }

    /// How deep the directory `name` of this level lay before it was moved, if it was.
    fn depth_of(&self, name: &CStr) -> u64 {
        let above = self.levels.last().map_or(0, |level| level.depth);
        let moved = || name.to_str().ok()?.strip_prefix(&self.token)?.split('-').nth(1)?.parse().ok();
        if above == 0 && !self.token.is_empty() { moved().unwrap_or(1) } else { above + 1 }
    }

    /// Moves a directory of this level to the top of the tree. False if that cannot be, as on a disk that is full.
    fn move_up(&mut self, name: &CStr) -> bool {
        let [top, .., level] = &mut self.levels[..] else { return false };
        if self.moves == MOST_MOVES {
            return false;
        }
        if self.token.is_empty() {
            self.token = uuid::Uuid::new_v4().simple().to_string();
        }
        self.moves += 1;
        let depth = level.depth + 1;
        let place = format!("{}-{depth}-{}", self.token, self.moves);
        let rename = || renameat(&level.directory, name, &top.directory, &place);
        let moved = match rename() {
            // To move a directory, one has to be allowed to write to it as well.
            Err(Errno::ACCESS) => {
                let _ = fchmod(&level.directory, Mode::RWXU);
                let _ = fchmod(&top.directory, Mode::RWXU);
                open_up(level.directory.as_fd(), name);
                rename().is_ok()
            }
            other => other.is_ok(),
        };
        if moved {
            top.grown = true;
            self.deepest = self.deepest.max(depth);
        }
        moved
    }

    /// Reads some names of this level; removes what is no directory at once.
    fn list(&mut self) {
        let Some(level) = self.levels.last_mut() else { return };
        let mut buffer = [MaybeUninit::uninit(); LISTED];
        let mut listing = RawDir::new(&level.directory, &mut buffer);
        let (mut bytes, mut failure) = (0, None);
        while let Some(entry) = listing.next() {
            let (name, file_type) = match entry {
                Ok(ref entry) => (entry.file_name(), entry.file_type()),
                // Somebody else removes it, too.
                Err(Errno::NOENT) => return self.go_up(true),
                Err(error) => return self.give_up(error),
            };
            bytes += name.to_bytes().len() + 32;
            if !matches!(name.to_bytes(), b"." | b"..") {
                match unlink_if_no_directory(&level.directory, name, file_type) {
                    Ok(Unlinked::Gone) => self.removed += 1,
                    Ok(Unlinked::IsDirectory) => level.waiting.push(name.to_owned()),
                    Err(error) => failure = failure.or_else(|| Some((name.to_owned(), error))),
                }
            }
            if listing.is_buffer_empty() {
                break;
            }
        }
        let at_end = bytes == 0;
        level.listed = !level.mistaken && bytes + LARGEST_ENTRY < LISTED;
        if let Some((name, error)) = failure {
            self.fail(Some(&name), error);
        }
        if at_end {
            self.end_pass();
        }
    }

    /// Removes this level if it is empty, as it should be. If it is not, the listing goes on.
    fn leave(&mut self) {
        match self.remove_directory() {
            Ok(()) => self.go_up(true),
            Err(Errno::NOTEMPTY | Errno::EXIST) => {
                if let Some(level) = self.levels.last_mut() {
                    level.listed = false;
                    level.mistaken = true;
                }
            }
            Err(error) => self.give_up(error),
        }
    }

    /// The listing has come to its end.
    fn end_pass(&mut self) {
        let Some(level) = self.levels.last_mut() else { return };
        let grown = std::mem::take(&mut level.grown);
        if level.failed && !grown {
            return self.go_up(false);
        }
        if !level.failed {
            match self.remove_directory() {
                Ok(()) => return self.go_up(true),
                Err(Errno::NOTEMPTY | Errno::EXIST) => {}
                Err(error) => return self.give_up(error),
            }
        }
        let Some(level) = self.levels.last_mut() else { return };
        level.passes += 1;
        self.passes += u32::from(!grown);
        // Each pass over the top takes several levels off everything that was moved there before it.
        let most = if level.depth == 0 { MOST_PASSES + self.deepest / LEVELS_PER_PASS } else { MOST_PASSES };
        if level.passes >= most || self.passes == MOST_PASSES_IN_ALL {
            return self.give_up(Errno::NOTEMPTY);
        }
        level.failed = false;
        level.mistaken = false;
        if let Err(error) = rustix::fs::seek(&level.directory, SeekFrom::Start(0)) {
            self.give_up(error);
        }
    }

    fn remove_directory(&self) -> Result<(), Errno> {
        match &self.levels[..] {
            [.., above, level] => unlink(&above.directory, &level.name, AtFlags::REMOVEDIR),
            // What is around the tree is not ours to open up.
            [_] => match unlinkat(self.parent, self.name, AtFlags::REMOVEDIR) {
                Err(Errno::NOENT) => Ok(()),
                other => other,
            },
            [] => Ok(()),
        }
    }

    /// Ends the work on this level.
    fn go_up(&mut self, gone: bool) {
        let Some(level) = self.levels.pop() else { return };
        if gone {
            self.removed += 1;
            self.closing.keep(level.directory);
        }
        match self.levels.last_mut() {
            Some(above) => above.failed |= !gone,
            // Whatever was in the way is not any more.
            None if gone => self.failure = None,
            None => {}
        }
    }

    /// Leaves this level as it is.
    fn give_up(&mut self, error: Errno) {
        self.fail(None, error);
        self.go_up(false);
    }

    fn unlink(&mut self, name: &CStr) {
        let Some(level) = self.levels.last() else { return };
        match unlink(&level.directory, name, AtFlags::empty()) {
            Ok(()) => self.removed += 1,
            Err(error) => self.fail(Some(name), error),
        }
    }

    /// Notes that `name` in this level, or this level itself, cannot be removed.
    fn fail(&mut self, name: Option<&CStr>, error: Errno) {
        let names = self.levels.iter().skip(1).map(|level| level.name.as_c_str()).chain(name);
        let path =
            || names.fold(self.name.to_owned(), |path, name| path.join(OsStr::from_bytes(name.to_bytes())));
        if self.failure.is_none() {
            self.failure = Some((path(), error));
        }
        if let Some(level) = self.levels.last_mut() {
            level.failed = true;
        }
    }
}

impl Level {
    fn new(directory: OwnedFd, name: CString, depth: u64) -> Self {
        Self {
            directory,
            name,
            depth,
            waiting: Vec::new(),
            listed: false,
            mistaken: false,
            passes: 0,
            failed: false,
            grown: false,
        }
    }
}

enum Unlinked {
    Gone,
    IsDirectory,
}

fn unlink_if_no_directory(directory: &OwnedFd, name: &CStr, file_type: FileType) -> Result<Unlinked, Errno> {
    let file_type = match file_type {
        FileType::Unknown => match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => FileType::from_raw_mode(stat.st_mode),
            Err(Errno::NOENT) => return Ok(Unlinked::Gone),
            Err(error) => return Err(error),
        },
        known => known,
    };
    if file_type == FileType::Directory {
        return Ok(Unlinked::IsDirectory);
    }
    match unlink(directory, name, AtFlags::empty()) {
        Ok(()) => Ok(Unlinked::Gone),
        // Since it was listed.
        Err(Errno::ISDIR) => Ok(Unlinked::IsDirectory),
        Err(error) => Err(error),
    }
}

/// Removes one name, for which the directory may have to be opened up.
fn unlink(directory: &OwnedFd, name: &CStr, flags: AtFlags) -> Result<(), Errno> {
    let removed = match unlinkat(directory, name, flags) {
        Err(Errno::ACCESS) if fchmod(directory, Mode::RWXU).is_ok() => unlinkat(directory, name, flags),
        other => other,
    };
    match removed {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// Opens a directory that lies on the file system of the one around it, as far as the kernel can say.
fn open_below(directory: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    match openat2(directory, name, directory_flags(), Mode::empty(), resolve) {
        // An old kernel, or somebody who keeps it from us.
        Err(Errno::NOSYS | Errno::PERM) => openat(directory, name, directory_flags(), Mode::empty()),
        other => other,
    }
}

/// Whether another file system is mounted there, as far as the kernel can say.
fn is_mount(directory: &OwnedFd) -> bool {
    let found = statx(directory, "", AtFlags::EMPTY_PATH, StatxFlags::TYPE);
    found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

fn directory_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Makes the directory `name` accessible to us; false if it is none, or another user's.
fn open_up(parent: BorrowedFd<'_>, name: impl rustix::path::Arg) -> bool {
    // By the way of its descriptor, as there may be a link in its place by now.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(directory) = openat(parent, name, flags, Mode::empty()) else { return false };
    rustix::fs::chmod(format!("/proc/self/fd/{}", directory.as_raw_fd()), Mode::RWXU).is_ok()
}

/// When the directories are closed that are gone but for us, who have them open.
enum Closing {
    AtOnce,
    /// By several threads.
    Together(Vec<OwnedFd>),
}

impl Closing {
    fn keep(&mut self, directory: OwnedFd) {
        let Self::Together(open) = self else { return };
        open.push(directory);
        if open.len() >= MOST_OPEN {
            self.close();
        }
    }

    fn close(&mut self) {
        let Self::Together(open) = self else { return };
        let threads = (open.len() / PER_THREAD).clamp(1, MOST_THREADS);
        let share = open.len().div_ceil(threads);
        thread::scope(|scope| {
            while open.len() > share {
                let directories = open.split_off(open.len() - share);
                // Without threads to give, what was to be closed by one was closed when it failed to start.
                let _ = thread::Builder::new().spawn_scoped(scope, || drop(directories));
            }
            open.clear();
        });
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
