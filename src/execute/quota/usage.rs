//! What directories take on the disk, measured bit by bit while somebody else writes to them. Knows nothing of limits.
//!
//! Nothing that is found is trusted: links are not followed, a tree may be deeper than any path can be long, and a few
//! descriptors are all that is ever open. What cannot be looked into is not counted, but known to be there.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

const OPEN: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What a file takes besides its blocks: about an inode.
const INODE: u64 = 512;
/// What stat(2) counts in.
const BLOCK: u64 = 512;

/// Bytes of names of directories that are still to be looked into.
const MOST_PENDING: usize = 32 << 20;
/// Bytes of a path that one call takes.
const CHUNK: usize = 3000;
/// Entries between two looks at the clock.
const ENTRIES: u32 = 32;

/// What was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Measured {
    /// Bytes of disk. A file with several names counts once, if all of them are here.
    pub bytes: u64,
    pub entries: u64,
    /// There were directories that could not be looked into.
    pub hidden: bool,
}

/// Measures some directories again and again.
#[derive(Debug)]
pub(super) struct Usage {
    places: Vec<PathBuf>,
    whole: Measured,
    pass: Pass,
}

/// One time through all of them.
#[derive(Debug, Default)]
struct Pass {
    found: Measured,
    /// The next of the places.
    next: usize,
    top: Option<OwnedFd>,
    /// The names of the directory that is being read, from the place on.
    path: Vec<CString>,
    reading: Option<Dir>,
    /// Directories to read: how deep they are, and their names.
    pending: Vec<(usize, CString)>,
    pending_bytes: usize,
}

impl Usage {
    pub fn of(places: Vec<PathBuf>) -> Self {
        Self { places, whole: Measured::default(), pass: Pass::default() }
    }

    /// Goes on for about as long as `budget`, at most to the end of a pass.
    pub fn measure(&mut self, budget: Duration) {
        let started = Instant::now();
        loop {
            for _ in 0..ENTRIES {
                if !self.pass.step(&self.places) {
                    self.whole = std::mem::take(&mut self.pass).found;
                    return;
                }
            }
            if started.elapsed() >= budget {
                return;
            }
        }
    }

    /// What there is at least, as far as is known: the last pass, or more if this one has found more already.
    pub fn known(&self) -> Measured {
        let Self { whole, pass: Pass { found, .. }, .. } = self;
        Measured {
            bytes: whole.bytes.max(found.bytes),
            entries: whole.entries.max(found.entries),
            hidden: whole.hidden || found.hidden,
        }
    }
}

impl Pass {
    /// Looks at one entry, or opens one directory. False at the end.
    fn step(&mut self, places: &[PathBuf]) -> bool {
        let Some(reading) = &mut self.reading else { return self.open_next(places) };
        match reading.read() {
            Some(Ok(entry)) => self.count(entry.file_name().to_owned()),
            // Somebody may have removed it meanwhile.
            Some(Err(_)) | None => return self.open_next(places),
        }
        true
    }

    fn count(&mut self, name: CString) {
        if matches!(name.to_bytes(), b"." | b"..") {
            return;
        }
        let Some(directory) = self.reading.as_ref().and_then(|reading| reading.fd().ok()) else { return };
        let Ok(stat) = statat(directory, &*name, AtFlags::SYMLINK_NOFOLLOW) else { return };
        let blocks = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(BLOCK);
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        // Each of its names has its part; of a directory, links are something else.
        let names =
            if is_directory { 1 } else { u64::from(u32::try_from(stat.st_nlink).unwrap_or(1)).max(1) };
        self.found.bytes = self.found.bytes.saturating_add(blocks.saturating_add(INODE) / names);
        self.found.entries += 1;
        if is_directory {
            let bytes = name.as_bytes().len() + size_of::<(usize, CString)>();
            if self.pending_bytes + bytes > MOST_PENDING {
                self.found.hidden = true;
            } else {
                self.pending_bytes += bytes;
                self.pending.push((self.path.len(), name));
            }
        }
    }

    fn open_next(&mut self, places: &[PathBuf]) -> bool {
        let Some((depth, name)) = self.pending.pop() else {
            self.reading = None;
            let Some(place) = places.get(self.next) else { return false };
            self.next += 1;
            self.path.clear();
            self.top = self.seen(openat(CWD, place, OPEN, Mode::empty()));
            let top = self.top.as_ref().and_then(|top| openat(top, ".", OPEN, Mode::empty()).ok());
            self.reading = top.and_then(|top| Dir::new(top).ok());
            return true;
        };
        self.pending_bytes -= name.as_bytes().len() + size_of::<(usize, CString)>();
        let opened = match self.reading.as_ref().and_then(|reading| reading.fd().ok()) {
            // In the one that was read last.
            Some(parent) if self.path.len() == depth => openat(parent, &*name, OPEN, Mode::empty()),
            _ => self.descend(depth, &name),
        };
        self.path.truncate(depth);
        self.path.push(name);
        let opened = self.seen(opened);
        self.reading = opened.and_then(|opened| Dir::new(opened).ok());
        true
    }

    fn seen(&mut self, opened: Result<OwnedFd, Errno>) -> Option<OwnedFd> {
        // What is not there any more takes nothing.
        self.found.hidden |= matches!(opened, Err(Errno::ACCESS | Errno::PERM | Errno::MFILE | Errno::NFILE));
        opened.ok()
    }

    /// Opens a directory by its path from the top, as much of that at a time as a call takes.
    fn descend(&self, depth: usize, name: &CStr) -> Result<OwnedFd, Errno> {
        let top = self.top.as_ref().ok_or(Errno::NOENT)?;
        let mut at: Option<OwnedFd> = None;
        let mut chunk: Vec<u8> = Vec::new();
        let names = self.path[..depth.min(self.path.len())].iter().map(CString::as_bytes);
        for name in names.chain([name.to_bytes()]) {
            if !chunk.is_empty() && chunk.len() + name.len() > CHUNK {
                at = Some(open_below(at.as_ref().unwrap_or(top), &chunk)?);
                chunk.clear();
            }
            if !chunk.is_empty() {
                chunk.push(b'/');
            }
            chunk.extend_from_slice(name);
        }
        open_below(at.as_ref().unwrap_or(top), &chunk)
    }
}

/// No link may lead anywhere else.
fn open_below(directory: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    use rustix::fs::{ResolveFlags, openat2};
    let straight = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(directory.as_fd(), OsStr::from_bytes(path), OPEN, Mode::empty(), straight)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::mkdirat;

    use super::*;

    fn measured(place: &std::path::Path) -> Measured {
        let mut usage = Usage::of(vec![place.to_owned(), place.join("nowhere")]);
        usage.measure(Duration::MAX);
        usage.known()
    }

    #[test]
    fn blocks_count_and_neither_holes_nor_links() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("place");
        fs_err::create_dir(&place).unwrap();
        let empty = measured(&place).bytes;
        fs_err::File::create(place.join("hole")).unwrap().set_len(8 << 40).unwrap();
        symlink("/", place.join("link")).unwrap();
        assert!(measured(&place).bytes - empty < 64 << 10);
        fs_err::create_dir_all(place.join("a/b")).unwrap();
        let file = place.join("a/b/file");
        fs_err::write(&file, vec![1; 1 << 20]).unwrap();
        fs_err::hard_link(&file, place.join("other")).unwrap();
        fs_err::File::open(&file).unwrap().sync_all().unwrap();
        let found = measured(&place);
        assert!((1 << 20..3 << 19).contains(&found.bytes), "{found:?}");
        assert_eq!((found.entries, found.hidden), (6, false));
    }

    /// Deeper than any path, with more on the way back.
    #[test]
    fn nothing_is_too_deep_to_be_counted() {
        let directory = tempfile::tempdir().unwrap();
        let mut at = OwnedFd::from(fs_err::File::open(directory.path()).unwrap().into_parts().0);
        for _ in 0..200 {
            for name in
                ["another directory with quite a long name", "the one that goes on, with quite a long name"]
            {
                mkdirat(&at, name, Mode::RWXU).unwrap();
            }
            let next = "the one that goes on, with quite a long name";
            at = openat(&at, next, OPEN, Mode::empty()).unwrap();
        }
        drop(at);
        let mut usage = Usage::of(vec![directory.path().to_owned()]);
        // In many small pieces.
        while usage.whole.entries == 0 {
            usage.measure(Duration::ZERO);
        }
        assert_eq!((usage.known().entries, usage.known().hidden), (400, false));
        crate::scratch::removal::remove(directory.path()).unwrap();
    }
}
