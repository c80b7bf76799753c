//! The members of a tar archive, one after the other, and then the rest of the archive, so that whoever writes it can
//! finish and every checksum is compared. Whatever an archive says, little of it is held in memory, and reading it has
//! an end. Knows nothing of what becomes of the members.

use std::cell::{Cell, RefCell};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};

use crate::rootfs::error::{MemberProblem, RootfsError};
use crate::scratch::removal::RemovalError;

/// Most bytes that describe one member: its header, long names and extended attributes, all of which are read into
/// memory. What real archives have is a few KiB.
pub(super) const MOST_DESCRIPTION_BYTES: u64 = 1 << 20;

/// Tar archives consist of blocks of so many bytes.
const BLOCK_BYTES: u64 = 512;

/// A member, whose contents can be read.
pub(super) type Member<'a, 'r> = Entry<'a, Metered<'r>>;

/// Why a member could not be used; [`for_each`] knows which it was.
pub(super) enum Problem {
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

impl From<RemovalError> for Problem {
    fn from(error: RemovalError) -> Self {
        Self::from(Errno::from_io_error(&error.source).unwrap_or(Errno::IO))
    }
}

/// An archive that is to be read.
pub(super) struct Reading<'r> {
    pub tar: &'r mut dyn Read,
    /// What errors call it.
    pub name: &'r str,
    pub interrupted: &'r AtomicBool,
    /// Bytes, decompressed, that may be read.
    pub most_bytes: u64,
    /// Whether it must have the block of zeros that ends an archive. Without it nobody knows whether the archive was
    /// cut between two members; of a layer its digest tells.
    pub must_end: bool,
}

/// Calls `act` for every member with its name, in which no part is empty, `.` or `..`, and reads the archive to its
/// end; returns how many bytes that were.
pub(super) fn for_each(
    reading: Reading<'_>,
    mut act: impl FnMut(&Path, &mut Member<'_, '_>) -> Result<(), Problem>,
) -> Result<u64, RootfsError> {
    let Reading { tar, name, interrupted, most_bytes, must_end } = reading;
    let meter = Meter::new(interrupted, most_bytes);
    let too_much = |limit| RootfsError::TooMuch { archive: name.to_owned(), limit };
    let unreadable = |source: io::Error| match meter.exceeded.take() {
        _ if interrupted.load(Ordering::Relaxed) => RootfsError::Interrupted,
        Some(limit) => too_much(limit),
        None => RootfsError::Archive { archive: name.to_owned(), source },
    };
    let mut archive = Archive::new(Metered { inner: tar, meter: &meter });
    meter.expect_member_after(0);
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let bytes = entry.path_bytes().into_owned();
        let member = |problem| RootfsError::Member {
            archive: name.to_owned(),
            member: String::from_utf8_lossy(&bytes).into_owned(),
            problem,
        };
        let kind = entry.header().entry_type();
        // The size of a sparse file is that with its holes; what the archive holds of it stands in the header.
        let stored = match kind {
            EntryType::GNUSparse => entry.header().entry_size().map_err(unreadable)?,
            _ => entry.size(),
        };
        meter.expect_member_after(stored);
        if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader) && stored > MOST_DESCRIPTION_BYTES {
            return Err(too_much(description_limit()));
        }
        let sparse = |key: &str| key.starts_with("GNU.sparse.");
        if let Some(extensions) = entry.pax_extensions().map_err(unreadable)? {
            // Which could give it another size.
            if kind == EntryType::GNUSparse {
                return Err(member(MemberProblem::Sparse));
            }
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
            Problem::TooMuch(limit) => too_much(limit),
        })?;
    }
    if must_end && meter.ended.get() {
        let problem = "it ends without the blocks of zeros that end an archive, so some of it may be missing";
        return Err(unreadable(io::Error::new(io::ErrorKind::UnexpectedEof, problem)));
    }
    meter.expect_no_member();
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(unreadable)?;
    Ok(meter.position.get())
}

/// A name as a relative path without empty parts and `.`; none if there is a `..` in it. (What else is wrong with a
/// name the kernel says.)
pub(super) fn plain_path(name: &[u8]) -> Option<PathBuf> {
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

fn description_limit() -> String {
    format!("{} MiB that describe one member", MOST_DESCRIPTION_BYTES >> 20)
}

/// How far an archive is read, and how far it may be.
struct Meter<'r> {
    interrupted: &'r AtomicBool,
    position: Cell<u64>,
    most_bytes: u64,
    /// Where the contents of the next member must begin at the latest.
    next_member: Cell<u64>,
    /// Whether there is nothing more to be read.
    ended: Cell<bool>,
    /// The limit that was exceeded.
    exceeded: RefCell<Option<String>>,
}

impl<'r> Meter<'r> {
    fn new(interrupted: &'r AtomicBool, most_bytes: u64) -> Self {
        Self {
            interrupted,
            position: Cell::new(0),
            most_bytes,
            next_member: Cell::new(0),
            ended: Cell::new(false),
            exceeded: RefCell::new(None),
        }
    }

    /// The contents of a member begin here and have so many bytes.
    fn expect_member_after(&self, bytes: u64) {
        let end = bytes.checked_next_multiple_of(BLOCK_BYTES).unwrap_or(u64::MAX);
        let next = self.position.get().saturating_add(end).saturating_add(MOST_DESCRIPTION_BYTES);
        self.next_member.set(next);
    }

    fn expect_no_member(&self) {
        self.next_member.set(u64::MAX);
    }

    fn left(&self) -> io::Result<u64> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(io::Error::other("interrupted"));
        }
        let position = self.position.get();
        let limit = if position >= self.most_bytes {
            format!("{} bytes, with what was read before it", self.most_bytes)
        } else if position >= self.next_member.get() {
            description_limit()
        } else {
            return Ok(self.most_bytes.min(self.next_member.get()) - position);
        };
        let problem = format!("more than {limit}");
        self.exceeded.replace(Some(limit));
        Err(io::Error::other(problem))
    }
}

/// An archive that is read no further than it may be.
pub(super) struct Metered<'r> {
    inner: &'r mut dyn Read,
    meter: &'r Meter<'r>,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.meter.left()?).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let count = self.inner.read(&mut buffer[..length])?;
        self.meter.position.set(self.meter.position.get() + count as u64);
        if count == 0 && length > 0 {
            self.meter.ended.set(true);
        }
        Ok(count)
    }
}
