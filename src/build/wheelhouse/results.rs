//! What became of a wheelhouse, for people and for programs. Knows nothing of how it is printed.

use std::path::PathBuf;

use serde::Serialize;

use super::planned::PythonFacts;
use super::record::WheelRecord;
use crate::contract::{CheckReport, Failure};
use crate::platform::Target;

/// How a distribution ended for a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DistributionStatus {
    /// Its wheel was there, and is what would be put there now.
    Kept,
    /// Its wheel was fetched.
    Fetched,
    /// Its wheel was built.
    Built,
    /// Its wheel was built before, by exactly what would build it now.
    Cached,
    /// The wheel that was built for another target is pure, and is right for this one, too.
    Shared,
    /// It has no wheel.
    Failed,
}

impl DistributionStatus {
    /// As results are counted.
    pub const ALL: [Self; 6] =
        [Self::Kept, Self::Fetched, Self::Built, Self::Cached, Self::Shared, Self::Failed];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Fetched => "fetched",
            Self::Built => "built",
            Self::Cached => "cached",
            Self::Shared => "shared",
            Self::Failed => "failed",
        }
    }
}

/// What became of one distribution for one target.
#[derive(Clone, Debug, Serialize)]
pub struct DistributionResult {
    /// The platform.
    pub target: Target,
    /// Normalised project name.
    pub name: String,
    /// The version; none if it failed before its build could tell.
    pub version: Option<String>,
    /// How it ended.
    pub status: DistributionStatus,
    /// The wheel in the output directory.
    pub wheel: Option<PathBuf>,
    /// What wheelhouse.json says of it.
    pub record: Option<WheelRecord>,
    /// Why it has no wheel.
    pub failure: Option<Failure>,
    /// The file with what its build put out, if it failed.
    pub log: Option<PathBuf>,
    /// Wall-clock seconds.
    pub seconds: f64,
}

/// What became of a target.
#[derive(Clone, Debug, Serialize)]
pub struct TargetResult {
    /// The platform.
    pub target: Target,
    /// Its Python, if that could be found.
    pub python: Option<PythonFacts>,
    /// Why nothing is known of what has to be installed there.
    pub failure: Option<Failure>,
    /// The requirements file, if everything is there.
    pub requirements: Option<PathBuf>,
    /// The lock file of the standard, if one was asked for and everything is there.
    pub pylock: Option<PathBuf>,
    /// What a check found, if one was asked for and everything is there.
    pub check: Option<CheckReport>,
    /// What is wrong by the check, or why there was none.
    pub check_failure: Option<Failure>,
}

/// What became of all of it.
#[derive(Clone, Debug)]
pub struct WheelhouseSummary {
    /// In the order in which they were given.
    pub targets: Vec<TargetResult>,
    /// In the order of the targets, and for each by name.
    pub distributions: Vec<DistributionResult>,
    /// What somebody should know, and is no failure.
    pub notes: Vec<String>,
    /// What went wrong with the lock file or the record after all builds.
    pub ending_failures: Vec<Failure>,
    /// The exit code owed to a signal.
    pub interrupted: Option<u8>,
}

impl WheelhouseSummary {
    /// How many ended as `status`.
    pub fn count(&self, status: DistributionStatus) -> usize {
        self.distributions.iter().filter(|result| result.status == status).count()
    }

    /// 0 if everything is there, else the code of the first failure, unless a signal has priority.
    pub fn exit_code(&self) -> u8 {
        let of_targets = self.targets.iter().filter_map(|target| target.failure.as_ref());
        let of_distributions = self.distributions.iter().filter_map(|result| result.failure.as_ref());
        let of_checks = self.targets.iter().filter_map(|target| target.check_failure.as_ref());
        let mut all = of_targets.chain(of_distributions).chain(of_checks).chain(&self.ending_failures);
        self.interrupted.unwrap_or_else(|| all.next().map_or(0, |failure| failure.class.exit_code()))
    }
}
