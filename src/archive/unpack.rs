//! From an archive to files on disk, or to a few files in memory: opens it, finds out its format, and gives its members
//! to whoever takes them. Knows nothing of what the files mean.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::fs::OFlags;

use super::error::{ArchiveError, Trouble};
use super::format::Format;
use super::member::Receiver;
use super::stream::Stream;
use super::top_level::TopLevelCapture;
use super::writer::Writer;
use super::{tar, zip};
use crate::contract::ArchiveLimits;
use crate::digest::{HashingReader, Sha256};

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
pub fn unpack(
    archive: &Path,
    destination: &Path,
    limits: &ArchiveLimits,
) -> Result<SourceTree, ArchiveError> {
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
    limits: &ArchiveLimits,
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
    fn read_members(&self, limits: &ArchiveLimits, receiver: &mut dyn Receiver) -> Result<Sha256, Trouble> {
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
    fn a_directory_is_no_archive_and_that_is_not_a_refusal() {
        let place = tempfile::tempdir().unwrap();
        let error = unpack(place.path(), &place.path().join("out"), &ArchiveLimits::default()).unwrap_err();
        assert!(!error.is_refusal(), "{error}");
    }
}
