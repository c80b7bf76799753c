//! What can be wrong with a lock, with what is asked of it, or with how the two meet.

use super::decision::TooComplex;
use std::path::{Path, PathBuf};

/// Why a lock or its project cannot be used as asked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is too large to be what it is said to be.
    #[error("{} has {size} bytes; more than {limit} are not read", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// How many bytes are read at most.
        limit: u64,
    },
    /// A file that is not TOML.
    #[error("{}:{line}: {reason}", file.display())]
    Syntax {
        /// Which.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// A key whose value is not what it should be, or that is not there.
    #[error("{}:{line}: {key}: {reason}", file.display())]
    Malformed {
        /// In which file.
        file: PathBuf,
        /// The line of the value, from 1.
        line: usize,
        /// The key from the top of the file: `package[3].wheels[0].url`.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A lock of a format that does not exist yet.
    #[error("{} has version {version} of the format; only version 1 is known", file.display())]
    UnknownVersion {
        /// Which lock.
        file: PathBuf,
        /// The version it says.
        version: i64,
    },
    /// Conditions that are larger than any resolver writes.
    #[error("{what} cannot be worked with: {source}")]
    TooComplex {
        /// Of what.
        what: String,
        /// How large.
        source: TooComplex,
    },
    /// A circle that is larger than any known.
    #[error("{members} packages of the lock all need each other; more than {limit} are not worked with")]
    LargeCircle {
        /// How many.
        members: usize,
        /// How many may.
        limit: usize,
    },
    /// Two records of one name where only one can be installed.
    #[error("{first} and {second} would both be installed on: {environments}")]
    TwoAtOnce {
        /// One, as [`super::record::RecordId`] says it.
        first: String,
        /// The other.
        second: String,
        /// Where.
        environments: String,
    },
    /// A configuration that can be had in no environment the lock supports.
    #[error("nothing can be installed so: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
}

impl LockError {
    /// What to do about it, where that does not follow from the message.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Syntax { file, .. } | Self::Malformed { file, .. } if is_lock(file) => {
                Some("write it again with `uv lock`".to_owned())
            }
            Self::UnknownVersion { .. } => Some("a newer crosswheel may know it".to_owned()),
            _ => None,
        }
    }
}

fn is_lock(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "lock")
}
