//! Unpacks sdists: `.tar` (plain, gzip, bzip2, xz, zstd) and `.zip`, in one pass and a few fixed buffers.
//! Knows nothing of Python or of what the files mean, and trusts nothing an archive says.
//!
//! ```text
//! format, stream      bytes of the file -> bytes of the tar        (hash, decompress, meter)
//! tar, zip            bytes             -> members                 (names, types, sizes)
//! layout, links       members           -> may this one be placed? (PEP 706 and our limits)
//! writer              placed members    -> files below the destination
//! ```
//!
//! While files are written there is no symlink below the destination: links are only remembered, checked
//! against the whole tree when it is known, and made last. So no order of members can lead a write astray.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::fs::OFlags;

use super::error::ArchiveError;
use super::error::Trouble;
use super::format::Format;
use super::member::Receiver;
use super::rule::Rule;
use super::stream::Stream;
use super::tar;
use super::top_level::TopLevelCapture;
use super::writer::Writer;
use super::zip;
use crate::digest::{HashingReader, Sha256};

/// How large an archive may be once it is unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of all files together, and of a decompressed tar stream with its headers.
    pub bytes: u64,
    /// Most members, and most files, directories and links on disk.
    pub members: u64,
    /// Most unpacked bytes per byte of archive. Holds beyond the first 64 MiB of output.
    pub ratio: u64,
    /// Most parts of a member's name, the top-level directory included.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 2 << 30, members: 200_000, ratio: 200, depth: 64 }
    }
}

/// Output below which [`Limits::ratio`] does not hold: small archives may compress very well.
const RATIO_FREE_BYTES: u64 = 64 << 20;

impl Limits {
    /// Whether an archive of `archive_bytes` may produce `produced` bytes.
    pub(super) fn check_bytes(&self, produced: u64, archive_bytes: u64) -> Result<(), Rule> {
        if produced > self.bytes {
            return Err(Rule::TooManyBytes { limit: self.bytes });
        }
        if produced > RATIO_FREE_BYTES && produced > archive_bytes.saturating_mul(self.ratio) {
            return Err(Rule::RatioTooHigh { limit: self.ratio });
        }
        Ok(())
    }
}

/// An unpacked archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceTree {
    /// `destination/top_level`.
    pub root: PathBuf,
    /// Name of the one directory everything is in.
    pub top_level: String,
    /// Members of the archive, extended headers not counted.
    pub members: u64,
    /// Bytes of all files together; a hard link counts as the copy it becomes.
    pub bytes: u64,
    /// SHA-256 of the archive file.
    pub sha256: Sha256,
    /// Some member's suffix is one of sources that a compiler takes (C, C++, Cython, Rust, Fortran, Go, CUDA, …), in any
    /// case.
    pub has_native_sources: bool,
}

/// What [`read_top_level_files`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopLevelFiles {
    /// Name of the one directory everything is in.
    pub top_level: String,
    /// SHA-256 of the archive file.
    pub sha256: Sha256,
    /// Contents by name. Names the archive does not have, or not as a regular file, are missing; so are hard
    /// links to files that were not asked for.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Unpacks `archive` into `destination`, which is created when missing (its parent must exist).
///
/// The result depends on the archive only: modes follow PEP 706's data filter whatever the umask, owners are
/// ignored, mtimes are the members' own but not before 1980 (directories without a member: 1980-01-01).
/// Hard links become copies.
///
/// # Errors
/// [`ArchiveError::Refused`] names the member and the rule it breaks. After any error, nothing that was
/// written is left.
pub fn unpack(archive: &Path, destination: &Path, limits: &Limits) -> Result<SourceTree, ArchiveError> {
    let about = |trouble: Trouble| trouble.about(archive);
    let opened = OpenArchive::open(archive).map_err(about)?;
    let mut writer = Writer::open(destination, limits, opened.bytes).map_err(about)?;
    let sha256 = opened.read_members(limits, &mut writer).map_err(about)?;
    let unpacked = writer.finish().map_err(about)?;
    Ok(SourceTree {
        root: destination.join(&unpacked.top_level),
        top_level: unpacked.top_level,
        members: unpacked.members,
        bytes: unpacked.bytes,
        sha256,
        has_native_sources: unpacked.has_native_sources,
    })
}

/// Reads the regular files `top_level/name` for all `names`, at most 4 MiB each, and writes nothing.
///
/// The whole archive is read and checked by the same rules as in [`unpack`].
///
/// # Errors
/// As [`unpack`].
pub fn read_top_level_files(
    archive: &Path,
    names: &[&str],
    limits: &Limits,
) -> Result<TopLevelFiles, ArchiveError> {
    let about = |trouble: Trouble| trouble.about(archive);
    let opened = OpenArchive::open(archive).map_err(about)?;
    let mut capture = TopLevelCapture::new(names, limits, opened.bytes);
    let sha256 = opened.read_members(limits, &mut capture).map_err(about)?;
    let (top_level, files) = capture.finish().map_err(about)?;
    Ok(TopLevelFiles { top_level, sha256, files })
}

/// An archive of a known format, not yet read.
struct OpenArchive {
    file: File,
    bytes: u64,
    format: Format,
}

impl OpenArchive {
    fn open(path: &Path) -> Result<Self, Trouble> {
        // Opening a FIFO would wait for a writer.
        let opened = fs_err::OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(path);
        let (file, _) = opened.map_err(Trouble::Read)?.into_parts();
        let metadata = file.metadata().map_err(Trouble::Read)?;
        if !metadata.is_file() {
            return Err(Trouble::Read(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
        }
        let format = Format::detect(&file)?;
        Ok(Self { file, bytes: metadata.len(), format })
    }

    /// Gives every member to `receiver`, and returns the digest of the file.
    fn read_members(&self, limits: &Limits, receiver: &mut dyn Receiver) -> Result<Sha256, Trouble> {
        let mut raw = HashingReader::new(&self.file);
        match self.format {
            Format::Zip => zip::read(&self.file, self.bytes, &mut raw, limits, receiver)?,
            Format::Tar(compression) => {
                let decoder = compression.decoder(&mut raw)?;
                tar::read(&mut Stream::new(decoder, limits, self.bytes), limits, receiver)?;
            }
        }
        io::copy(&mut raw, &mut io::sink()).map_err(Trouble::Read)?;
        Ok(raw.finish().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_holds_only_beyond_64_mib() {
        let limits = Limits::default();
        assert_eq!(limits.check_bytes(64 << 20, 1), Ok(()));
        assert_eq!(limits.check_bytes((64 << 20) + 1, 1), Err(Rule::RatioTooHigh { limit: 200 }));
        assert_eq!(limits.check_bytes(200 << 20, 1 << 20), Ok(()));
        assert_eq!(limits.check_bytes((2 << 30) + 1, 1 << 30), Err(Rule::TooManyBytes { limit: 2 << 30 }));
    }

    #[test]
    fn a_directory_is_no_archive_and_that_is_not_a_refusal() {
        let place = tempfile::tempdir().unwrap();
        let error = unpack(place.path(), &place.path().join("out"), &Limits::default()).unwrap_err();
        assert!(!error.is_refusal(), "{error}");
    }
}
