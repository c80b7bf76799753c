//! What can go wrong with a blob.

use std::io;
use std::path::PathBuf;

use crate::digest::Digest;

/// Why a store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("blob {0} is not in the store")]
    NotFound(Digest),

    #[error("the bytes written for blob {expected} have the digest {actual}")]
    Mismatch { expected: Digest, actual: Digest },

    /// `passes` says that there may be room later: others may go.
    #[error("no room for blob {digest}: {reason}")]
    NoRoom { digest: Digest, reason: String, passes: bool },

    /// Before anything was read or allocated: sizes in digests are what clients claim.
    #[error("blob {digest} is too large for a {what} message: at most {limit} bytes are read")]
    TooLarge { digest: Digest, what: &'static str, limit: u64 },

    #[error("cannot {doing}: {source}")]
    Io { doing: String, source: io::Error },

    /// Two processes would evict each other's blobs.
    #[error("the store {} is in use by another crosswheel ({holder}): stop that one, or give another directory", directory.display())]
    InUse { directory: PathBuf, holder: String },

    /// Something in the store's directory is not what it must be.
    #[error("the store is damaged: {0}")]
    Damaged(String),

    /// A remote store refused or could not be reached. `exhausted` says that it is short of something.
    #[error("the remote store failed to {doing}: {message}")]
    Remote { doing: String, message: String, exhausted: bool },
}

impl StoreError {
    /// The same once more, for several who asked the same.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::NotFound(digest) => Self::NotFound(*digest),
            Self::Mismatch { expected, actual } => Self::Mismatch { expected: *expected, actual: *actual },
            Self::NoRoom { digest, reason, passes } => {
                Self::NoRoom { digest: *digest, reason: reason.clone(), passes: *passes }
            }
            Self::TooLarge { digest, what, limit } => Self::TooLarge { digest: *digest, what, limit: *limit },
            Self::Io { doing, source } => {
                // What the system said is what decides whether it is worth to try again.
                let again = || io::Error::new(source.kind(), source.to_string());
                let source = errno(source).map_or_else(again, io::Error::from_raw_os_error);
                Self::Io { doing: doing.clone(), source }
            }
            Self::InUse { directory, holder } => {
                Self::InUse { directory: directory.clone(), holder: holder.clone() }
            }
            Self::Damaged(what) => Self::Damaged(what.clone()),
            Self::Remote { doing, message, exhausted } => {
                Self::Remote { doing: doing.clone(), message: message.clone(), exhausted: *exhausted }
            }
        }
    }
}

/// What the system said, whoever has wrapped it since.
fn errno(error: &io::Error) -> Option<i32> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(errno) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(errno);
        }
        cause = error.source();
    }
    None
}
