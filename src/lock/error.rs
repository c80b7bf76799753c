//! What can be wrong with a lock, with what is asked of it, or with how the two meet.

use std::fmt;
use std::path::{Path, PathBuf};

use pep508_rs::MarkerEnvironment;

use super::conflicts::ConflictItem;
use super::decision::TooComplex;

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
    /// There is no project where one is looked for.
    #[error("there is no pyproject.toml in {} or above it", directory.display())]
    NoProject {
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// A project without a lock.
    #[error("the project has no lock: {} does not exist", path.display())]
    NoLock {
        /// Where it should be.
        path: PathBuf,
    },
    /// A project whose lock does not have it.
    #[error("{} has no package for the project in {}", lock.display(), directory.display())]
    NotInLock {
        /// The lock.
        lock: PathBuf,
        /// The project's directory.
        directory: PathBuf,
    },
    /// Something is asked for that does not exist.
    #[error("{kind} `{name}` is not defined in {place}{}", nearest.as_ref().map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default())]
    Unknown {
        /// `group`, `extra`, `default group` or `package`.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// Where it is not.
        place: String,
        /// What there is and looks most like it.
        nearest: Option<String>,
    },
    /// What is asked for contradicts itself.
    #[error("{0}")]
    Contradiction(&'static str),
    /// The lock was not made for such an environment.
    #[error("{} is for {supported}, not for {environment}", lock.display())]
    UnsupportedEnvironment {
        /// The lock.
        lock: PathBuf,
        /// The environment.
        environment: String,
        /// The markers of which one must hold.
        supported: String,
    },
    /// Another Python is needed.
    #[error("{what} needs Python {requires}, and this is {python}")]
    RequiresPython {
        /// What needs it: a lock or a group.
        what: String,
        /// The versions that would do.
        requires: String,
        /// The version there is.
        python: String,
    },
    /// Two things are active that exclude each other.
    #[error("{first} and {second} are in conflict with each other and cannot be installed together")]
    Conflict {
        /// One.
        first: ConflictItem,
        /// The other.
        second: ConflictItem,
    },
    /// A requirement of the manifest that no record is for in this environment.
    #[error("no package of {} is for {requirement} in this environment ({environment})", lock.display())]
    NoFork {
        /// The lock.
        lock: PathBuf,
        /// The name of what is required.
        requirement: String,
        /// The environment.
        environment: String,
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
    /// A record of which no file can be used.
    #[error("{record} from {origin} cannot be installed: {reason}")]
    NoUsableFile {
        /// Name and version.
        record: String,
        /// Its source.
        origin: String,
        /// Why not.
        reason: NoFileReason,
    },
}

/// Why no file of a record can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoFileReason {
    /// It may neither be built nor be a wheel.
    NothingAllowed,
    /// It may not be a wheel, and there is nothing to build it from.
    NoSourceForNoBinary,
    /// It may not be built, and has no wheel at all.
    NoWheelForNoBuild,
    /// It may not be built, and none of its wheels is for this target.
    NoCompatibleWheelForNoBuild(String),
    /// None of its wheels is for this target, and there is nothing to build it from.
    NoCompatibleWheel(String),
    /// The lock has no file for it.
    NoFile,
}

impl fmt::Display for NoFileReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingAllowed => f.write_str("both no-binary and no-build are set for it"),
            Self::NoSourceForNoBinary => {
                f.write_str("no-binary is set for it, and the lock has nothing to build it from")
            }
            Self::NoWheelForNoBuild => f.write_str("no-build is set for it, and it has no wheel"),
            Self::NoCompatibleWheelForNoBuild(nearest) => {
                write!(
                    f,
                    "no-build is set for it, and no wheel is for this target (the nearest is {nearest})"
                )
            }
            Self::NoCompatibleWheel(nearest) => write!(
                f,
                "no wheel is for this target (the nearest is {nearest}), and there is nothing to build it from"
            ),
            Self::NoFile => f.write_str("the lock has neither a wheel nor an sdist of it"),
        }
    }
}

/// What `markers` say of an environment, in short.
pub(super) fn described(markers: &MarkerEnvironment) -> String {
    let python = markers.python_full_version();
    format!(
        "{} {python} on {} {}",
        markers.platform_python_implementation(),
        markers.sys_platform(),
        markers.platform_machine()
    )
}

impl LockError {
    /// What to do about it, where that does not follow from the message.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Syntax { file, .. } | Self::Malformed { file, .. } if is_lock(file) => {
                Some("write it again with `uv lock`".to_owned())
            }
            Self::NoLock { .. } | Self::NotInLock { .. } => Some("make it with `uv lock`".to_owned()),
            Self::NoProject { .. } => Some("give the directory of a project with --project".to_owned()),
            Self::UnsupportedEnvironment { .. } => {
                Some("add it to `environments` in [tool.uv] and lock again with `uv lock`".to_owned())
            }
            Self::Conflict { .. } => Some("ask for one of them at a time".to_owned()),
            Self::NoUsableFile { reason: NoFileReason::NoCompatibleWheel(_), .. } => Some(
                "another version may have an sdist; or ask for a target that it has wheels for".to_owned(),
            ),
            Self::UnknownVersion { .. } => Some("a newer crosswheel may know it".to_owned()),
            _ => None,
        }
    }
}

fn is_lock(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "lock")
}
