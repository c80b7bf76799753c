//! The rules an archive must keep, each as the end of a sentence that starts with "member `x`" or
//! "the archive". Knows nothing of how they are checked.

/// A rule an archive breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rule {
    /// The magic bytes are those of no format we read.
    #[error("is in none of the formats .tar, .tar.gz, .tar.bz2, .tar.xz, .tar.zst and .zip")]
    UnknownFormat,
    /// What was decompressed is not a tar archive.
    #[error("is compressed, but what is inside is not a tar archive")]
    NotTar,
    /// A decompressor gave up.
    #[error("cannot be decompressed: {0}")]
    Corrupt(String),
    /// The archive ends in the middle of something.
    #[error("is truncated")]
    Truncated,
    /// Something other than zeros follows the end of the archive.
    #[error("is followed by data that does not belong to it")]
    TrailingData,
    /// A structure of the format holds nonsense.
    #[error("has a malformed header: {0}")]
    Malformed(&'static str),
    /// Where a tar header should be there is something else.
    #[error("has no valid header after member `{member}`")]
    NoHeaderAfter {
        /// The latest member that could be read.
        member: String,
    },
    /// A PAX header, a GNU long name or a link target that no real archive has.
    #[error("has an extended header of more than {limit} bytes")]
    HeaderTooLarge {
        /// Bytes allowed.
        limit: u64,
    },
    /// Two extended headers name the same member differently.
    #[error("is given two different names or link targets")]
    TwoNames,
    /// A PAX global header that would rename or resize every member.
    #[error("has a global PAX header that sets `{0}`")]
    GlobalRecord(&'static str),

    /// The name starts with `/`.
    #[error("has an absolute name")]
    AbsoluteName,
    /// The name has a `..` part (PEP 706).
    #[error("has `..` in its name")]
    EscapingName,
    /// Nothing is left of the name.
    #[error("has an empty name")]
    EmptyName,
    /// The name is not UTF-8, or a zip does not say that it is.
    #[error("has a name that is not UTF-8")]
    NameNotUtf8,
    /// The name contains a NUL.
    #[error("has a NUL in its name")]
    NulInName,
    /// A zip name with a backslash, which is a separator to some and a character to others.
    #[error("has a backslash in its name")]
    BackslashInName,
    /// A zip name that starts with a drive letter.
    #[error("has a drive letter in its name")]
    DriveLetterInName,
    /// The name is longer than a file system takes.
    #[error("has a name of more than 4095 bytes, or a part of it of more than 255")]
    NameTooLong,
    /// More directories inside each other than allowed.
    #[error("lies more than {limit} levels deep")]
    TooDeep {
        /// [`ArchiveLimits::depth`](crate::contract::ArchiveLimits::depth).
        limit: usize,
    },

    /// Members below more than one top-level directory.
    #[error("is not inside the one top-level directory `{top_level}`")]
    SeveralTopLevels {
        /// The directory the first member is in.
        top_level: String,
    },
    /// A file or link that is not inside a directory.
    #[error("is a file outside the one top-level directory")]
    FileAtTopLevel,
    /// No member at all.
    #[error("has no top-level directory")]
    NoTopLevel,
    /// Device, FIFO or socket.
    #[error("is a {0}")]
    SpecialFile(&'static str),
    /// A sparse file in any of the GNU or star encodings.
    #[error("is a sparse file")]
    SparseFile,
    /// A type nobody knows, or that only a vendor does.
    #[error("has the unknown type `{}`", .0.escape_ascii())]
    UnknownType(u8),
    /// A directory or a link that carries file contents.
    #[error("is a {0} that carries data")]
    UnexpectedData(&'static str),
    /// The same name as an earlier member of another type.
    #[error("is a {now}, but an earlier member made it a {earlier}")]
    TypeChanged {
        /// What it was before.
        earlier: &'static str,
        /// What it would become.
        now: &'static str,
    },
    /// A parent of the member is a symlink.
    #[error("would be written through the symlink `{link}`")]
    ThroughSymlink {
        /// The symlink.
        link: String,
    },
    /// A parent of the member is a file.
    #[error("lies below `{file}`, which is a file")]
    BelowFile {
        /// The file.
        file: String,
    },

    /// The symlink's target is absolute.
    #[error("is a symlink to the absolute path `{target}`")]
    AbsoluteSymlink {
        /// The target.
        target: String,
    },
    /// The symlink leads out of the top-level directory, by itself or through other links.
    #[error("is a symlink that leads out of the archive: `{target}`")]
    EscapingSymlink {
        /// The target.
        target: String,
    },
    /// The symlink goes round in circles, or through more links than the kernel follows.
    #[error("is a symlink that leads through more than 40 links: `{target}`")]
    TangledSymlink {
        /// The target.
        target: String,
    },
    /// The target is empty, not UTF-8, or longer than a path can be.
    #[error("is a link with an unusable target")]
    BadLinkTarget,
    /// The hard link's target is absolute or has a `..` part.
    #[error("is a hard link that leads out of the archive: `{target}`")]
    EscapingHardlink {
        /// The target.
        target: String,
    },
    /// The hard link's target is not a file that was unpacked before it.
    #[error("is a hard link to `{target}`, which is no file that comes before it")]
    HardlinkTargetMissing {
        /// The target.
        target: String,
    },

    /// More bytes than allowed.
    #[error("exceeds the limit of {limit} unpacked bytes per archive")]
    TooManyBytes {
        /// [`ArchiveLimits::bytes`](crate::contract::ArchiveLimits::bytes).
        limit: u64,
    },
    /// More files, directories and links than allowed.
    #[error("exceeds the limit of {limit} members per archive")]
    TooManyMembers {
        /// [`ArchiveLimits::members`](crate::contract::ArchiveLimits::members).
        limit: u64,
    },
    /// Compressed better than any real source tree.
    #[error("exceeds the limit of {limit} unpacked bytes per byte of archive")]
    RatioTooHigh {
        /// [`ArchiveLimits::ratio`](crate::contract::ArchiveLimits::ratio).
        limit: u64,
    },
    /// Names and link targets that would fill memory.
    #[error("exceeds the limit of {limit} bytes of names and link targets per archive")]
    TooManyNameBytes {
        /// Bytes allowed.
        limit: usize,
    },
    /// A file asked for by name is too large to hold in memory.
    #[error("is larger than the {limit} bytes a metadata file may have")]
    FileTooLarge {
        /// Bytes allowed.
        limit: u64,
    },

    /// The zip entry is encrypted.
    #[error("is encrypted")]
    Encrypted,
    /// A zip compression method other than stored, deflated and bzip2.
    #[error("uses the zip compression method {0}, which is not supported")]
    Method(u16),
    /// Two zip entries share bytes.
    #[error("shares bytes of the archive with what follows it")]
    Overlap,
    /// Bytes between two zip entries that belong to neither.
    #[error("is followed by bytes that belong to no member")]
    Gap,
    /// Local header, data descriptor and central directory of a zip disagree.
    #[error("has a local header whose {0} is not that of the central directory")]
    LocalDiffers(&'static str),
    /// The contents do not have the size that was promised.
    #[error("does not have the size its header says")]
    WrongSize,
    /// The contents do not have the CRC-32 that was promised.
    #[error("does not have the CRC-32 its header says")]
    WrongChecksum,
    /// A zip in several parts.
    #[error("is a part of a zip archive of several parts")]
    SplitZip,
}

impl Rule {
    /// What can be done about an archive that breaks this rule, where something can.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::UnknownFormat | Self::NotTar => {
                "check that the download is the sdist itself and not, say, an error page"
            }
            Self::Corrupt(_) | Self::Truncated | Self::WrongChecksum | Self::WrongSize => {
                "download the sdist again and compare its hash with the index"
            }
            Self::SeveralTopLevels { .. } | Self::FileAtTopLevel | Self::NoTopLevel => {
                "an sdist holds exactly one top-level directory, `name-version` (PEP 625)"
            }
            Self::AbsoluteSymlink { .. } | Self::EscapingSymlink { .. } | Self::TangledSymlink { .. } => {
                "the project must ship the file itself instead of a link to something outside the sdist"
            }
            Self::SparseFile => "repack the sdist without `--sparse`",
            Self::NameNotUtf8 => "repack the sdist with UTF-8 names",
            Self::TooManyBytes { .. } | Self::TooManyMembers { .. } | Self::RatioTooHigh { .. } => {
                "this looks like a decompression bomb; a real sdist stays far below this limit"
            }
            _ => return None,
        })
    }
}
