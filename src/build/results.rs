//! What became of the sources, for people and for programs. Knows nothing of how it is printed.

use std::path::PathBuf;

use serde::Serialize;

use super::index::credentials::redact_urls;
use crate::contract::{Failure, Report};
use crate::platform::Target;

/// How a source ended for a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceStatus {
    /// Its wheel was built.
    Built,
    /// Its wheel was built before, by exactly what would build it now.
    Cached,
    /// The wheel that was built for another target is pure, and is right for this one, too.
    Shared,
    /// It is not wanted for this target: its marker does not hold there.
    Skipped,
    /// It has no wheel.
    Failed,
}

/// What became of one source for one target.
#[derive(Clone, Debug, Serialize)]
pub struct SourceResult {
    /// The SOURCE argument, without secrets.
    pub source: String,
    /// The platform the wheel is for.
    pub target: Target,
    /// How it ended.
    pub status: SourceStatus,
    /// The wheel in the output directory.
    pub wheel: Option<PathBuf>,
    /// The report of the step that built it.
    pub report: Option<Report>,
    /// The target it was built for, if that is another one.
    pub shared_from: Option<Target>,
    /// Why it has no wheel.
    pub failure: Option<Failure>,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Whether a different file of that name was replaced.
    #[serde(skip)]
    pub replaced: bool,
}

impl SourceResult {
    /// A source that is not wanted for `target`.
    pub fn skipped(source: &str, target: Target, seconds: f64) -> Self {
        Self {
            source: redact_urls(source),
            target,
            status: SourceStatus::Skipped,
            wheel: None,
            report: None,
            shared_from: None,
            failure: None,
            seconds,
            replaced: false,
        }
    }

    /// A source that failed.
    pub fn failed(source: &str, target: Target, failure: Failure, seconds: f64) -> Self {
        Self {
            source: redact_urls(source),
            target,
            status: SourceStatus::Failed,
            wheel: None,
            report: None,
            shared_from: None,
            failure: Some(failure),
            seconds,
            replaced: false,
        }
    }
}

/// What became of all of them.
#[derive(Clone, Debug)]
pub struct BuildSummary {
    /// In the order of the sources, and for each in that of the targets.
    pub results: Vec<SourceResult>,
    /// What went wrong with the lock file after the builds.
    pub lock_failure: Option<Failure>,
    /// The exit code owed to a signal.
    pub interrupted: Option<u8>,
}

impl BuildSummary {
    /// 0 if everything was built, else the code of the first failure, unless a signal has priority.
    pub fn exit_code(&self) -> u8 {
        let first = self.results.iter().find_map(|result| result.failure.as_ref());
        let failed = first.or(self.lock_failure.as_ref()).map_or(0, |failure| failure.class.exit_code());
        self.interrupted.unwrap_or(failed)
    }
}
