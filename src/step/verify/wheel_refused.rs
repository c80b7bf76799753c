//! Why a built wheel may not be handed on, and what to do about it.
//! Knows nothing of how that is found out: `verified_wheel` does.

use std::path::PathBuf;

use crate::contract::{Failure, FailureClass};
use crate::packaging::elf::ElfError;
use crate::packaging::wheel_archive::WheelArchiveError;
use crate::packaging::wheel_metadata::RecordMismatch;
use crate::patience::OutOfPatience;
use crate::platform::{Glibc, LibcFamily, Target};

/// Why a built wheel may not be handed on.
#[derive(Debug, thiserror::Error)]
pub enum WheelRefused {
    /// The output directory cannot be read; the error names it.
    #[error("cannot look for the built wheel: {0}")]
    Io(#[from] std::io::Error),
    /// The interpreter is not the target's, so that nothing it builds can be.
    #[error("the wheel must be for {target}, but Python at `{}` makes wheels for {found}", .python.display())]
    WrongMachine {
        /// The platform the wheel must be for.
        target: Target,
        /// The platform of the interpreter.
        found: Target,
        /// The interpreter.
        python: PathBuf,
    },
    /// The interpreter is of another version of Python than the wheel is to be for.
    #[error("the wheel must be for Python {promised}, but Python at `{}` is {found}", .python.display())]
    WrongPython {
        /// The interpreter.
        python: PathBuf,
        /// Its version.
        found: String,
        /// The version the wheel must be for.
        promised: String,
    },
    /// The interpreter runs on another C library than the wheel is to be for.
    #[error("the wheel must be for systems with {promised}, but Python at `{}` runs on {found}", .python.display())]
    WrongLibc {
        /// The interpreter.
        python: PathBuf,
        /// The C library it runs on.
        found: LibcFamily,
        /// The C library the wheel must be for.
        promised: LibcFamily,
    },
    /// The sdist is of another project, or of another version of it.
    #[error("the sdist has the {what} `{found}`, but `{promised}` was asked for")]
    WrongProject {
        /// `name` or `version`.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it was to be.
        promised: String,
    },
    /// It is not a wheel that can be read.
    #[error(transparent)]
    Archive(#[from] WheelArchiveError),
    /// The backend wrote no wheel, or several.
    #[error("the backend wrote {}; it must write exactly one", list_wheels(.found))]
    NotOneWheel {
        /// The wheels in the output directory.
        found: Vec<String>,
    },
    /// The backend wrote another wheel than it said.
    #[error("the backend says it wrote `{reported}`, but there is `{found}`")]
    NotReported {
        /// What `build_wheel` returned.
        reported: String,
        /// The wheel in the output directory.
        found: String,
    },
    /// It takes too long to look at it, or nobody wants it any more.
    #[error("`{wheel}` was not verified: {over}")]
    GivenUp {
        /// File name of the wheel.
        wheel: String,
        /// Why.
        over: OutOfPatience,
    },
    /// What the backend wrote is a link or a directory.
    #[error("`{wheel}` is not a regular file")]
    NotAFile {
        /// File name of the wheel.
        wheel: String,
    },
    /// Name or version are not the sdist's, or not the same everywhere.
    #[error("`{wheel}` has the {what} `{found}` in {place}, but it must be `{expected}`")]
    Identity {
        /// File name of the wheel.
        wheel: String,
        /// `name` or `version`.
        what: &'static str,
        /// Where it is stated: METADATA, the file name or the `.dist-info` directory.
        place: String,
        /// What is stated there.
        found: String,
        /// What must be stated there.
        expected: String,
    },
    /// The tags in WHEEL are not those of the file name.
    #[error("the tags in WHEEL of `{wheel}` are not those of its file name: {}", describe_tags(.missing, .extra))]
    TagsDiffer {
        /// File name of the wheel.
        wheel: String,
        /// Tags of the file name that WHEEL does not have.
        missing: Vec<String>,
        /// Tags of WHEEL that the file name does not have.
        extra: Vec<String>,
    },
    /// The build tag in WHEEL is not that of the file name.
    #[error(
        "the build tag in WHEEL of `{wheel}` is {}, but in its file name {}",
        .inside.as_deref().unwrap_or("absent"),
        .named.as_deref().unwrap_or("absent")
    )]
    BuildTagDiffers {
        /// File name of the wheel.
        wheel: String,
        /// The build tag in the file name.
        named: Option<String>,
        /// The build tag in WHEEL.
        inside: Option<String>,
    },
    /// The tags do not fit interpreter and target.
    #[error("`{wheel}` cannot be installed on {target}{} with Python {python}: {why}", with_glibc(.glibc))]
    Incompatible {
        /// File name of the wheel.
        wheel: String,
        /// What is wrong with its tags.
        why: String,
        /// The version of Python.
        python: String,
        /// The platform.
        target: Target,
        /// The glibc of the platform.
        glibc: Option<Glibc>,
    },
    /// A file is not as RECORD has it.
    #[error("`{member}` in `{wheel}` is not as RECORD has it: {source}")]
    Record {
        /// File name of the wheel.
        wheel: String,
        /// The file in it.
        member: String,
        /// How it differs.
        source: RecordMismatch,
    },
    /// RECORD lists a file that is not there.
    #[error("RECORD of `{wheel}` lists `{member}`, which is not in the wheel")]
    ListedButAbsent {
        /// File name of the wheel.
        wheel: String,
        /// The absent file.
        member: String,
    },
    /// A file of machine code is not for the target.
    #[error("`{member}` in `{wheel}` {source}")]
    Elf {
        /// File name of the wheel.
        wheel: String,
        /// The file in it.
        member: String,
        /// What is wrong with it.
        source: ElfError,
    },
    /// A file of machine code needs a newer glibc than the target has.
    #[error("`{member}` in `{wheel}` needs glibc {needed}, but the target has glibc {allowed}")]
    GlibcTooNew {
        /// File name of the wheel.
        wheel: String,
        /// The file in it.
        member: String,
        /// The newest version it refers to.
        needed: Glibc,
        /// The version of the target.
        allowed: Glibc,
    },
    /// The tags say `none-any`, but there is machine code.
    #[error("`{wheel}` is tagged for any platform, but `{member}` in it is machine code")]
    PureTagWithCode {
        /// File name of the wheel.
        wheel: String,
        /// The file of machine code.
        member: String,
    },
    /// `Root-Is-Purelib` is true, but there is machine code at the root.
    #[error("`{wheel}` has `Root-Is-Purelib: true`, but `{member}` in it is machine code")]
    PureRootWithCode {
        /// File name of the wheel.
        wheel: String,
        /// The file of machine code.
        member: String,
    },
    /// There should be machine code, and there is none.
    #[error("the build fell back to a pure wheel: there is no machine code in `{wheel}`")]
    FellBackToPure {
        /// File name of the wheel.
        wheel: String,
    },
    /// There should be no machine code, and there is.
    #[error("`{wheel}` should be pure, but `{member}` in it is machine code")]
    UnexpectedNative {
        /// File name of the wheel.
        wheel: String,
        /// The file of machine code.
        member: String,
    },
}

impl WheelRefused {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Io(_) => "check that the output directory still exists and can be read",
            Self::WrongMachine { .. } => {
                "run this step on a machine, or in a root file system, of the target's architecture (for an action: \
                 on an execution platform with the target's constraints), or give an interpreter of it with --python"
            }
            Self::WrongPython { .. } => {
                "give an interpreter of that version with --python (for an action: run it where there is one)"
            }
            Self::WrongLibc { .. } => {
                "run this step on a machine, or in a root file system, with that C library (for an action: on \
                 workers that offer it as `libc`)"
            }
            Self::WrongProject { .. } => {
                "take the sdist that was meant, or say what it is: --expect-name and --expect-version, which are \
                 `project` and `version` of a py_sdist_wheel"
            }
            Self::NotOneWheel { found } if found.is_empty() => {
                "the backend reported success without a wheel; its log may say why"
            }
            Self::GivenUp { .. } => {
                "it is larger than any wheel that can be installed; look at what the backend puts into it"
            }
            Self::NotOneWheel { .. } | Self::NotReported { .. } | Self::NotAFile { .. } => {
                "this is a fault of the build backend or of an in-tree one; try another version of it"
            }
            Self::Archive(_)
            | Self::TagsDiffer { .. }
            | Self::BuildTagDiffers { .. }
            | Self::Record { .. }
            | Self::ListedButAbsent { .. } => {
                "the build backend, or a step after it that changed the wheel, wrote it wrong; try another \
                 version of the backend"
            }
            Self::Identity { what: "version", .. } => {
                "the backend computed another version than the sdist has; if it asks a version control \
                 system, set SETUPTOOLS_SCM_PRETEND_VERSION or the like to the sdist's version"
            }
            Self::Identity { .. } => "the backend built another project than the one in the sdist",
            Self::Elf { source: ElfError::Musl(_), .. } => {
                "so far, wheels with compiled code are built for systems with glibc only: build on one, and leave \
                 prebuilt files for others out of the wheel"
            }
            Self::Incompatible { .. } => {
                "build with the Python, architecture and C library of the target; check for options such as \
                 --plat-name or --python-tag in the project's configuration"
            }
            Self::Elf { source: ElfError::Machine { .. }, .. } => {
                "the file was compiled for another machine, or came prebuilt with the sdist; compile it with \
                 the target's compiler, or leave it out of the wheel"
            }
            Self::Elf { .. } => "the file is damaged; if it is test data, leave it out of the wheel",
            Self::GlibcTooNew { .. } => {
                "build on a system whose glibc is no newer than the target's, or name a newer target glibc"
            }
            Self::PureTagWithCode { .. } | Self::PureRootWithCode { .. } => {
                "the project must tell its backend that the wheel has machine code (for setuptools, \
                 ext_modules or a distribution whose has_ext_modules() is true), so that it is tagged for \
                 its platform"
            }
            Self::FellBackToPure { .. } => {
                "look in the build log for an extension that failed to compile and was optional, or for a \
                 variable that switches extensions off; or take the pure wheel with --expect any"
            }
            Self::UnexpectedNative { .. } => "build it as a wheel with machine code, for its platform",
        }
    }
}

impl From<WheelRefused> for Failure {
    fn from(refused: WheelRefused) -> Self {
        Self::new(FailureClass::WheelRefused, refused.to_string()).with_hint(refused.hint())
    }
}

fn list_wheels(found: &[String]) -> String {
    if found.is_empty() { "no wheel".to_owned() } else { format!("`{}`", found.join("`, `")) }
}

fn describe_tags(missing: &[String], extra: &[String]) -> String {
    let mut parts = Vec::new();
    if !missing.is_empty() {
        parts.push(format!("WHEEL lacks {}", missing.join(", ")));
    }
    if !extra.is_empty() {
        parts.push(format!("WHEEL has {} besides", extra.join(", ")));
    }
    parts.join("; ")
}

fn with_glibc(glibc: &Option<Glibc>) -> String {
    glibc.map(|glibc| format!(" (glibc {glibc})")).unwrap_or_default()
}
