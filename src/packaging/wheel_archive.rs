//! A wheel as an archive (PEP 427): its members and the metadata in its `.dist-info`, read so that a
//! hostile file can neither crash us nor make us use memory or disk without bound.
//! Knows nothing of targets or of installing, and does not compare members with RECORD.

use std::collections::HashSet;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fs_err::os::unix::fs::OpenOptionsExt;
use fs_err::{File, OpenOptions};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::core_metadata::{CoreMetadata, CoreMetadataError};
use super::entry_points::{EntryPointScript, InvalidEntryPoint, parse_scripts};
use super::wheel_metadata::{Record, WheelMetadata, WheelMetadataError};
use super::wheel_name::{InvalidWheelName, WheelFileName};
use crate::digest::Sha256;
use crate::patience::Patience;

/// Most members a wheel may have. The largest wheels on PyPI have some 30,000.
const MAX_MEMBERS: usize = 100_000;
/// Most bytes the members may have together, unpacked.
const MAX_UNPACKED_BYTES: u64 = 16 << 30;
/// Most bytes of the file itself, holes included: more than its members may have, which are rarely larger packed.
const MAX_WHEEL_BYTES: u64 = 17 << 30;
/// Most bytes that are read to find the zip's own directory, which is held in memory.
const MAX_DIRECTORY_BYTES: u64 = 16 << 20;
/// Most bytes of WHEEL, METADATA and entry_points.txt.
const MAX_METADATA_BYTES: u64 = 4 << 20;
/// Most bytes of RECORD: a line for each of [`MAX_MEMBERS`].
const MAX_RECORD_BYTES: u64 = 32 << 20;

/// An opened wheel whose names, limits and metadata have been checked.
pub struct WheelArchive<'p> {
    path: PathBuf,
    zip: ZipArchive<BudgetReader<'p>>,
    /// The parsed file name.
    pub file_name: WheelFileName,
    /// SHA-256 of the file.
    pub sha256: Sha256,
    /// Size of the file in bytes.
    pub size_bytes: u64,
    /// The files in it, in archive order; directories are left out.
    pub members: Vec<WheelMember>,
    /// Name of the `.dist-info` directory.
    pub dist_info: String,
    /// WHEEL.
    pub wheel: WheelMetadata,
    /// METADATA.
    pub metadata: CoreMetadata,
    /// RECORD.
    pub record: Record,
    /// Scripts of `entry_points.txt`; empty if there is none.
    pub scripts: Vec<EntryPointScript>,
}

/// A file in a wheel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelMember {
    /// Its path: relative, without `.` and `..`, parts separated by `/`.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Whether the archive marks it as executable.
    pub executable: bool,
    index: usize,
}

/// Why a file is not a wheel that can be read.
#[derive(Debug, thiserror::Error)]
pub enum WheelArchiveError {
    /// The file cannot be read; the error names it.
    #[error("cannot read the wheel: {0}")]
    Io(#[from] std::io::Error),
    /// Its name is not that of a wheel.
    #[error("not the name of a wheel: {0}")]
    FileName(#[from] InvalidWheelName),
    /// The path has no UTF-8 file name.
    #[error("`{}` has no file name in UTF-8", .0.display())]
    NoFileName(PathBuf),
    /// It is not a zip file, or a broken one.
    #[error("`{wheel}` is not a sound zip file: {reason}")]
    Zip {
        /// File name of the wheel.
        wheel: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It is larger inside than any wheel.
    #[error("`{wheel}` is refused for its size: {reason}")]
    TooLarge {
        /// File name of the wheel.
        wheel: String,
        /// Which limit it exceeds.
        reason: String,
    },
    /// A member is one no wheel may have.
    #[error("member `{member}` of `{wheel}` {reason}")]
    Member {
        /// File name of the wheel.
        wheel: String,
        /// Name of the member.
        member: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is not exactly one `.dist-info` directory.
    #[error("`{wheel}` has {} at its top level; a wheel has exactly one", list_or_none(.found))]
    DistInfo {
        /// File name of the wheel.
        wheel: String,
        /// The `.dist-info` directories.
        found: Vec<String>,
    },
    /// A file of the `.dist-info` directory is missing.
    #[error("`{wheel}` has no `{member}`")]
    Missing {
        /// File name of the wheel.
        wheel: String,
        /// The absent member.
        member: String,
    },
    /// WHEEL or RECORD is malformed.
    #[error("`{wheel}`: {source}")]
    WheelMetadata {
        /// File name of the wheel.
        wheel: String,
        /// What is wrong with it.
        source: WheelMetadataError,
    },
    /// METADATA is malformed.
    #[error("METADATA of `{wheel}`: {source}")]
    CoreMetadata {
        /// File name of the wheel.
        wheel: String,
        /// What is wrong with it.
        source: CoreMetadataError,
    },
    /// `entry_points.txt` is malformed.
    #[error("`{wheel}`: {source}")]
    EntryPoints {
        /// File name of the wheel.
        wheel: String,
        /// What is wrong with it.
        source: InvalidEntryPoint,
    },
    /// The wheel is of a format we do not know (PEP 427: "fail if the major version is greater").
    #[error("`{wheel}` has Wheel-Version {}.{}; crosswheel knows version 1", .version.0, .version.1)]
    WheelVersion {
        /// File name of the wheel.
        wheel: String,
        /// Its `Wheel-Version`.
        version: (u32, u32),
    },
}

fn list_or_none(found: &[String]) -> String {
    if found.is_empty() { "no .dist-info directory".to_owned() } else { found.join(" and ") }
}

impl WheelArchive<'static> {
    /// Opens the wheel at `path`, hashes it, and reads and checks its directory and metadata.
    pub fn open(path: &Path) -> Result<Self, WheelArchiveError> {
        WheelArchive::open_patiently(path, Patience::endless())
    }
}

impl<'p> WheelArchive<'p> {
    /// As [`WheelArchive::open`], of a file that may have been made to keep us busy. Reading it, also later, is an error once
    /// `patience` is over.
    pub fn open_patiently(path: &Path, patience: Patience<'p>) -> Result<Self, WheelArchiveError> {
        let text = path
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| WheelArchiveError::NoFileName(path.to_owned()))?;
        let file_name: WheelFileName = text.parse()?;
        // Opening a named pipe would wait for somebody to write to it.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let found = file.metadata()?;
        let wheel_too_large = |reason: String| WheelArchiveError::TooLarge { wheel: text.to_owned(), reason };
        if !found.is_file() {
            return Err(wheel_too_large("it is no regular file, and has no size".into()));
        }
        if found.len() > MAX_WHEEL_BYTES {
            let reason = format!("it has {} bytes, more than {MAX_WHEEL_BYTES}", found.len());
            return Err(wheel_too_large(reason));
        }
        let (sha256, size_bytes) = Sha256::of_reader(patience.read((&mut file).take(found.len() + 1)))?;
        if size_bytes > found.len() {
            return Err(wheel_too_large("it grows while it is read".into()));
        }
        file.seek(SeekFrom::Start(0))?;

        let unsound =
            |error: ZipError| WheelArchiveError::Zip { wheel: text.to_owned(), reason: error.to_string() };
        let budget = Arc::new(AtomicU64::new(MAX_DIRECTORY_BYTES));
        let reader = BudgetReader { inner: BufReader::new(file), budget: budget.clone(), patience };
        let mut zip = ZipArchive::new(reader).map_err(unsound)?;
        budget.store(u64::MAX, Ordering::Relaxed);
        check_number(text, zip.len())?;
        // Local headers that differ from the directory, and overlapping members, mean that two
        // readers would see two different wheels.
        zip.validate_header_consistency().map_err(unsound)?;
        let members = list_members(text, &zip)?;
        check_limits(text, &members)?;
        let dist_info = find_dist_info(text, &members)?;

        let mut archive = RawArchive { wheel: text, zip, members: &members, dist_info: &dist_info };
        let wheel = archive.required("WHEEL", MAX_METADATA_BYTES)?;
        let wheel = WheelMetadata::parse(&wheel)
            .map_err(|source| WheelArchiveError::WheelMetadata { wheel: text.to_owned(), source })?;
        if wheel.wheel_version.0 != 1 {
            let version = wheel.wheel_version;
            return Err(WheelArchiveError::WheelVersion { wheel: text.to_owned(), version });
        }
        let metadata = archive.required("METADATA", MAX_METADATA_BYTES)?;
        let metadata = CoreMetadata::parse(&metadata)
            .map_err(|source| WheelArchiveError::CoreMetadata { wheel: text.to_owned(), source })?;
        let record = archive.required("RECORD", MAX_RECORD_BYTES)?;
        let record = Record::parse(&record)
            .map_err(|source| WheelArchiveError::WheelMetadata { wheel: text.to_owned(), source })?;
        let scripts = match archive.optional("entry_points.txt", MAX_METADATA_BYTES)? {
            Some(bytes) => parse_scripts(&bytes)
                .map_err(|source| WheelArchiveError::EntryPoints { wheel: text.to_owned(), source })?,
            None => Vec::new(),
        };

        let zip = archive.zip;
        Ok(Self {
            path: path.to_owned(),
            zip,
            file_name,
            sha256,
            size_bytes,
            members,
            dist_info,
            wheel,
            metadata,
            record,
            scripts,
        })
    }

    /// Where the wheel is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content of a member. Reading past its declared size, or a wrong checksum, is an error of
    /// the reader.
    pub fn read(&mut self, member: &WheelMember) -> Result<impl Read + '_, WheelArchiveError> {
        let wheel = self.file_name.to_string();
        let file = self
            .zip
            .by_index(member.index)
            .map_err(|error| WheelArchiveError::Zip { wheel, reason: error.to_string() })?;
        Ok(ExactReader { inner: file, left: member.size })
    }

    /// The error for a member that cannot be read or must not be there.
    pub fn member_error(&self, member: &str, reason: impl ToString) -> WheelArchiveError {
        WheelArchiveError::Member {
            wheel: self.file_name.to_string(),
            member: member.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// Whether RECORD need not list `member`: RECORD itself and its signatures (PEP 427).
    pub fn is_exempt_from_record(&self, member: &str) -> bool {
        member
            .strip_prefix(&self.dist_info)
            .is_some_and(|rest| ["/RECORD", "/RECORD.jws", "/RECORD.p7s"].contains(&rest))
    }
}

/// `NAME-VERSION.data/KEY/PATH` → key and path; nothing for members outside a `.data` directory. The
/// key says where the file is installed: `purelib`, `platlib`, `scripts`, `headers` or `data`.
pub fn split_data_member(name: &str) -> Option<(&str, &str)> {
    let (top, rest) = name.split_once('/')?;
    top.ends_with(".data").then(|| rest.split_once('/').unwrap_or((rest, "")))
}

fn check_limits(wheel: &str, members: &[WheelMember]) -> Result<(), WheelArchiveError> {
    let too_large = |reason: String| Err(WheelArchiveError::TooLarge { wheel: wheel.to_owned(), reason });
    let unpacked = members.iter().fold(0u64, |sum, member| sum.saturating_add(member.size));
    if unpacked > MAX_UNPACKED_BYTES {
        return too_large(format!(
            "its members have {unpacked} bytes together, more than {MAX_UNPACKED_BYTES}"
        ));
    }
    Ok(())
}

/// Directories included, before anything is done for each of them.
fn check_number(wheel: &str, members: usize) -> Result<(), WheelArchiveError> {
    if members > MAX_MEMBERS {
        let reason = format!("it has {members} members, more than {MAX_MEMBERS}");
        return Err(WheelArchiveError::TooLarge { wheel: wheel.to_owned(), reason });
    }
    Ok(())
}

fn list_members(
    wheel: &str,
    zip: &ZipArchive<BudgetReader<'_>>,
) -> Result<Vec<WheelMember>, WheelArchiveError> {
    let mut members = Vec::with_capacity(zip.len());
    let mut seen = HashSet::with_capacity(zip.len());
    for index in 0..zip.len() {
        let entry = zip
            .by_index_data(index)
            .map_err(|error| WheelArchiveError::Zip { wheel: wheel.to_owned(), reason: error.to_string() })?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let refuse = |reason: String| {
            let member = name.clone();
            Err(WheelArchiveError::Member { wheel: wheel.to_owned(), member, reason })
        };
        if std::str::from_utf8(entry.name_raw()).is_err() {
            return refuse("has a name that is not UTF-8".into());
        }
        let path = name.strip_suffix('/').unwrap_or(&name);
        if let Some(reason) = unsafe_name(path) {
            return refuse(reason.into());
        }
        // File type bits of the Unix mode: none, regular or directory.
        let file_type = entry.unix_mode().unwrap_or(0) & 0o170_000;
        if ![0, 0o100_000, 0o040_000].contains(&file_type) {
            return refuse("is a link or a special file".into());
        }
        if entry.encrypted() {
            return refuse("is encrypted".into());
        }
        if ![CompressionMethod::Stored, CompressionMethod::Deflated].contains(&entry.compression()) {
            return refuse(format!(
                "is compressed as {}; wheels are deflated or stored",
                entry.compression()
            ));
        }
        if !seen.insert(path.to_owned()) {
            return refuse("is there twice".into());
        }
        if !entry.is_dir() {
            let executable = entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
            members.push(WheelMember { size: entry.size(), executable, index, name });
        }
    }
    Ok(members)
}

/// Why a path must not be unpacked, if it must not.
fn unsafe_name(path: &str) -> Option<&'static str> {
    if path.starts_with('/') {
        return Some("has an absolute path");
    }
    if path.contains(['\0', '\\']) || path.contains(char::is_control) {
        return Some("has a backslash or a control character in its path");
    }
    for part in path.split('/') {
        match part {
            "" => return Some("has an empty part in its path"),
            "." | ".." => return Some("has `.` or `..` in its path"),
            _ => {}
        }
    }
    None
}

fn find_dist_info(wheel: &str, members: &[WheelMember]) -> Result<String, WheelArchiveError> {
    let mut found: Vec<String> = members
        .iter()
        .filter_map(|member| Some(member.name.split_once('/')?.0))
        .filter(|top| top.ends_with(".dist-info"))
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    match <[String; 1]>::try_from(found) {
        Ok([one]) => Ok(one),
        Err(found) => Err(WheelArchiveError::DistInfo { wheel: wheel.to_owned(), found }),
    }
}

/// A wheel of which only the members are known yet.
struct RawArchive<'a, 'p> {
    wheel: &'a str,
    zip: ZipArchive<BudgetReader<'p>>,
    members: &'a [WheelMember],
    dist_info: &'a str,
}

impl RawArchive<'_, '_> {
    fn required(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, WheelArchiveError> {
        self.optional(name, limit)?.ok_or_else(|| WheelArchiveError::Missing {
            wheel: self.wheel.to_owned(),
            member: format!("{}/{name}", self.dist_info),
        })
    }

    fn optional(&mut self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, WheelArchiveError> {
        let path = format!("{}/{name}", self.dist_info);
        let Some(member) = self.members.iter().find(|member| member.name == path) else {
            return Ok(None);
        };
        let refused = |reason: String| WheelArchiveError::Member {
            wheel: self.wheel.to_owned(),
            member: path.clone(),
            reason,
        };
        if member.size > limit {
            return Err(refused(format!("has {} bytes, more than {limit}", member.size)));
        }
        let cannot_read = |error: &dyn std::fmt::Display| refused(format!("cannot be read: {error}"));
        let file = self.zip.by_index(member.index).map_err(|error| cannot_read(&error))?;
        let mut bytes = Vec::new();
        ExactReader { inner: file, left: member.size }
            .read_to_end(&mut bytes)
            .map_err(|error| cannot_read(&error))?;
        Ok(Some(bytes))
    }
}

/// Yields exactly `left` bytes of `inner`: more or fewer are an error, so that no member is larger
/// than the sizes the limits were checked with.
struct ExactReader<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for ExactReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| std::io::Error::other("it is longer than the zip's directory says"))?;
        if count == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(std::io::Error::other("it is shorter than the zip's directory says"));
        }
        Ok(count)
    }
}

/// Yields no more bytes than the budget has left. The zip crate keeps all of an archive's directory in
/// memory; this bounds how large a directory a hostile file can make it read.
/// And none once patience is over.
struct BudgetReader<'p> {
    inner: BufReader<File>,
    budget: Arc<AtomicU64>,
    patience: Patience<'p>,
}

impl Read for BudgetReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.patience.check().map_err(std::io::Error::other)?;
        let count = self.inner.read(buffer)?;
        let left = self.budget.load(Ordering::Relaxed);
        let left = left.checked_sub(count as u64).ok_or_else(|| {
            std::io::Error::other(format!("its directory exceeds {MAX_DIRECTORY_BYTES} bytes"))
        })?;
        self.budget.store(left, Ordering::Relaxed);
        Ok(count)
    }
}

impl Seek for BudgetReader<'_> {
    fn seek(&mut self, position: SeekFrom) -> std::io::Result<u64> {
        self.inner.seek(position)
    }

    fn stream_position(&mut self) -> std::io::Result<u64> {
        self.inner.stream_position()
    }
}
