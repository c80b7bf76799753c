//! What is to be in a wheelhouse for a target, and where each of it comes from. Knows nothing of who decided that, nor of
//! what is done with it.

use pep440_rs::Version;
use pep508_rs::PackageName;
use serde::Serialize;
use url::Url;

use crate::build::index::credentials::redact_urls;
use crate::contract::Failure;
use crate::digest::Sha256;
use crate::lock::FileHash;
use crate::platform::{Glibc, Target};

/// What would be in a wheelhouse.
#[derive(Clone, Debug)]
pub struct WheelhousePlan {
    /// In the order in which they were given.
    pub targets: Vec<PlannedTarget>,
    /// What somebody should know.
    pub notes: Vec<String>,
}

/// What has to be installed on a target, or why that cannot be told.
#[derive(Clone, Debug)]
pub struct PlannedTarget {
    /// The platform.
    pub target: Target,
    /// All of it.
    pub plan: Result<TargetPlan, Failure>,
}

/// All that has to be installed on a target.
#[derive(Clone, Debug)]
pub struct TargetPlan {
    /// The platform.
    pub target: Target,
    /// The Python that installs it.
    pub python: PythonFacts,
    /// Sorted by name and version.
    pub distributions: Vec<PlannedDistribution>,
    /// `NAME==VERSION FILE` for each of them, sorted.
    pub lines: Vec<String>,
}

/// What a plan takes to be true of a target's Python.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PythonFacts {
    /// `python_full_version`, such as `3.11.7`.
    pub version: String,
    /// What tells it from others with wheels of their own: `3.11`, or `3.13t` if it is free-threaded.
    pub name: String,
    /// The newest glibc that wheels may need; none on other libcs.
    pub glibc: Option<Glibc>,
    /// Whether nobody asked the target's Python, as there is none that could be asked: it is taken to be like this
    /// machine's of that version.
    pub assumed: bool,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedDistribution {
    /// Normalised project name.
    pub name: PackageName,
    /// The version; none if only its build will tell.
    pub version: Option<Version>,
    /// Where its wheel comes from.
    pub origin: DistributionOrigin,
    /// Why that is so, in a few words.
    pub reason: String,
}

/// Where a wheel comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DistributionOrigin {
    /// There is one.
    Wheel(PlannedFile),
    /// It is built from an sdist.
    Sdist(PlannedFile),
    /// It is built from a tree, or from an archive that is no sdist: a directory, a commit of a repository. As people name
    /// a source.
    Tree(String),
}

impl WheelhousePlan {
    /// 0 if every target could be planned, else the code of the first failure.
    pub fn exit_code(&self) -> u8 {
        let mut failures = self.targets.iter().filter_map(|planned| planned.plan.as_ref().err());
        failures.next().map_or(0, |failure| failure.class.exit_code())
    }
}

impl DistributionOrigin {
    /// What it is, in a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Wheel(_) => "wheel",
            Self::Sdist(_) => "sdist",
            Self::Tree(_) => "tree",
        }
    }

    /// Where it is, as people write it, without a login.
    pub fn shown_place(&self) -> String {
        redact_urls(&self.place())
    }

    /// Where it is, as people write it; may hold a login.
    pub fn place(&self) -> String {
        match self {
            Self::Wheel(file) | Self::Sdist(file) => file.place.to_string(),
            Self::Tree(source) => source.clone(),
        }
    }
}

/// A file that is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFile {
    /// Its name, as that of a wheel or an sdist.
    pub file_name: String,
    /// Where it is: an http, https or file URL, without a login.
    pub place: Url,
    /// SHA-256, if it is known beforehand.
    pub sha256: Option<Sha256>,
    /// The hash that the plan has, if that is another one.
    pub other_hash: Option<FileHash>,
    /// Bytes, if they are known beforehand.
    pub size: Option<u64>,
}
