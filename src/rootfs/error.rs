//! Why a root file system could not be made. Knows nothing of exit codes.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use super::mmdebstrap::MmdebstrapError;
use crate::platform::Arch;

/// Why a root file system could not be made, or looked at.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    /// A file or directory of this machine.
    #[error("cannot {attempt} {}: {source}", .path.display())]
    Io {
        /// What was attempted.
        attempt: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// There is something in the place of the new root.
    #[error("{} exists and is not empty", .0.display())]
    Exists(PathBuf),
    /// What is there was made by somebody else.
    #[error(
        "{} was not made by `crosswheel rootfs create` ({} is not in it), so --force does not replace it",
        .0.display(), super::marker::MARKER
    )]
    NotOurs(PathBuf),
    /// Another process is making it.
    #[error("another `crosswheel rootfs create` is at work on {}", .0.display())]
    Busy(PathBuf),
    /// Something that we cannot have made, where the new root is made.
    #[error("cannot make a root in {}: it {problem}", .path.display())]
    InTheWay { path: PathBuf, problem: &'static str },
    /// An archive that cannot be read.
    #[error("cannot read {archive}: {source}")]
    Archive {
        /// Which: a path, or the digest of a layer.
        archive: String,
        source: io::Error,
    },
    /// One member of an archive.
    #[error("`{member}` in {archive} {problem}")]
    Member { archive: String, member: String, problem: MemberProblem },
    /// An archive that holds more than any root.
    #[error("{archive} holds more than {limit}")]
    TooMuch {
        archive: String,
        /// With its unit.
        limit: String,
    },
    /// A directory that is no image layout, or one whose files make no sense.
    #[error("{} is no OCI image layout that can be used: {problem}", .path.display())]
    Layout { path: PathBuf, problem: String },
    /// A blob of an image layout.
    #[error("the blob {digest} of {} {problem}", .layout.display())]
    Blob { layout: PathBuf, digest: String, problem: BlobProblem },
    /// No image for the architecture, or of that tag.
    #[error("{} has no image {wanted}; it has {}", .layout.display(), if .found.is_empty() { "none".to_owned() } else { .found.join(", ") })]
    NoImage {
        layout: PathBuf,
        /// What was looked for, such as `for linux/arm64`.
        wanted: String,
        found: Vec<String>,
    },
    /// Several images that fit.
    #[error("{} has several images for linux/{}: {}", .layout.display(), .arch.property(), .found.join(", "))]
    Ambiguous { layout: PathBuf, arch: Arch, found: Vec<String> },
    /// What was unpacked is no root file system.
    #[error("{what} holds no root file system: {problem}")]
    NotARoot { what: String, problem: &'static str },
    /// It is one for another architecture.
    #[error("{what} holds a root file system for {}, and {} is wanted", .found.property(), .wanted.property())]
    Architecture { what: String, wanted: Arch, found: Arch },
    #[error(transparent)]
    Mmdebstrap(#[from] MmdebstrapError),
    /// Somebody has asked to end it.
    #[error("interrupted")]
    Interrupted,
}

/// What is wrong with a member of an archive.
#[derive(Debug, thiserror::Error)]
pub enum MemberProblem {
    #[error("has `..` in its name")]
    Escapes,
    #[error("is a link to a name with `..` in it, or to none")]
    LinkEscapes,
    #[error("is a whiteout of nothing that could be a name")]
    Whiteout,
    #[error("is a sparse file in a format that is not understood")]
    Sparse,
    #[error("has the unknown type {0:#04x}")]
    Type(u8),
    #[error("cannot be written: {0}")]
    Write(Errno),
}

/// What is wrong with a blob.
#[derive(Debug, thiserror::Error)]
pub enum BlobProblem {
    #[error("is missing")]
    Missing,
    #[error("has {found} bytes instead of {expected}")]
    Size { expected: u64, found: u64 },
    #[error("has other contents: its digest is sha256:{found}")]
    Digest { found: String },
    #[error(
        "is, decompressed, not what the image's configuration says: sha256:{found} instead of {expected}"
    )]
    DiffId { expected: String, found: String },
    #[error("has a digest of a kind that is not understood; sha256 is")]
    UnknownDigest,
    #[error("is more than {0} bytes of JSON")]
    TooLarge(u64),
    #[error("is no JSON of the kind it should be: {0}")]
    Json(String),
    #[error("has the media type `{0}`, which is no layer that could be unpacked")]
    MediaType(String),
    #[error("cannot be read: {0}")]
    Io(io::Error),
}

impl RootfsError {
    /// Blames a file or directory for an error that came up while `attempt` was made on it.
    pub(super) fn io<E: Into<io::Error>>(
        attempt: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |error| Self::Io { attempt, path, source: error.into() }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Exists(_) => {
                "--force replaces a root that crosswheel has made; end the servers that use it first".to_owned()
            }
            Self::NotOurs(path) => format!("choose another directory, or remove it yourself: {}", path.display()),
            Self::InTheWay { path, .. } => format!("see who has put it there, and remove it: {}", path.display()),
            Self::Layout { .. } => {
                "an image layout is a directory with index.json, such as `skopeo copy docker://debian oci:DIR:TAG` \
                 makes"
                    .to_owned()
            }
            Self::Blob { problem: BlobProblem::Missing | BlobProblem::Size { .. } | BlobProblem::Digest { .. }, .. } => {
                "copy the image again".to_owned()
            }
            Self::NoImage { wanted, .. } if wanted.starts_with("for ") => {
                "copy the image with all its platforms (`skopeo copy --all`), or give another --arch".to_owned()
            }
            Self::NoImage { .. } | Self::Ambiguous { .. } => "name one: --from DIR:TAG".to_owned(),
            Self::Architecture { found, .. } => format!("give --arch {}, or another source", found.property()),
            Self::NotARoot { .. } => {
                "an OCI or Docker archive has to be unpacked, or copied, into an image layout first: \
                 `skopeo copy oci-archive:FILE oci:DIR:TAG`"
                    .to_owned()
            }
            Self::Mmdebstrap(error) => return error.hint(),
            _ => return None,
        })
    }
}
