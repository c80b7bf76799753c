//! Which file each record is on one target. Nothing is fetched here.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use pep440_rs::Version;
use pep508_rs::{ExtraName, PackageName};

use super::closure::Closure;
use super::error::{LockError, NoFileReason};
use super::lock_file::Lock;
use super::locked_file::LockedFile;
use super::project::Project;
use super::record::Record;
use super::record_index::RecordIndex;
use super::settings::ProjectSettings;
use super::source::{GitSource, RecordSource};
use super::wheel_choice::{best_wheel, nearest_wheel};
use crate::packaging::compatible_tags::CompatibleTags;

/// What may be a wheel and what may be built; uv's settings of these names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilePreferences {
    /// Everything is built, except what [`no_build_packages`](Self::no_build_packages) names.
    pub no_binary: bool,
    /// These are built.
    pub no_binary_packages: BTreeSet<PackageName>,
    /// Nothing is built, except what [`no_binary_packages`](Self::no_binary_packages) names.
    pub no_build: bool,
    /// These are not built.
    pub no_build_packages: BTreeSet<PackageName>,
}

impl FilePreferences {
    /// Those of a project.
    pub fn of(settings: &ProjectSettings) -> Self {
        Self {
            no_binary: settings.no_binary,
            no_binary_packages: settings.no_binary_packages.clone(),
            no_build: settings.no_build,
            no_build_packages: settings.no_build_packages.clone(),
        }
    }

    /// What either says.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        self.no_binary |= other.no_binary;
        self.no_build |= other.no_build;
        self.no_binary_packages.extend(other.no_binary_packages.iter().cloned());
        self.no_build_packages.extend(other.no_build_packages.iter().cloned());
        self
    }

    fn forbids_wheels_of(&self, name: &PackageName) -> bool {
        self.no_binary_packages.contains(name) || (self.no_binary && !self.no_build_packages.contains(name))
    }

    pub(super) fn forbids_building(&self, name: &PackageName) -> bool {
        self.no_build_packages.contains(name) || (self.no_build && !self.no_binary_packages.contains(name))
    }
}

/// What is to be installed on one target.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// By name, version and file, as [`Plan::lines`] are.
    pub packages: Vec<PlannedPackage>,
}

/// A package that is to be installed.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedPackage {
    /// Its record.
    pub record: RecordIndex,
    /// Normalised.
    pub name: PackageName,
    /// None for a member whose version its backend finds.
    pub version: Option<Version>,
    /// The extras that somebody asks for.
    pub extras: BTreeSet<ExtraName>,
    /// What is installed, or built.
    pub choice: FileChoice,
    /// Where in the archive or the repository the project is, if not at its top.
    pub subdirectory: Option<String>,
    /// Why that.
    pub reason: Reason,
}

/// What is installed, or built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileChoice {
    /// A wheel as it is.
    Wheel(LockedFile),
    /// A wheel built from this archive.
    Sdist(LockedFile),
    /// A wheel built from a commit.
    Git(GitSource),
    /// A wheel built from a source tree.
    Tree {
        /// Absolute, or relative to the lock's directory.
        path: PathBuf,
        /// How the lock has it.
        kind: TreeKind,
    },
}

/// How the lock has a source tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeKind {
    /// To be installed.
    Directory,
    /// To be installed as a link to it.
    Editable,
}

/// Why a package is a wheel of an index, or is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The best of the wheels for this target.
    BestWheel,
    /// There is no wheel.
    NoWheels,
    /// None of the wheels is for this target.
    NoCompatibleWheel {
        /// The file name of the one that comes nearest.
        nearest: String,
    },
    /// no-binary is set.
    NoBinary,
    /// Only its source is locked.
    SourceOnly,
}

/// One short sentence.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BestWheel => f.write_str("the best wheel for this target"),
            Self::NoWheels => f.write_str("there is no wheel"),
            Self::NoCompatibleWheel { nearest } => {
                write!(f, "no wheel is for this target; the nearest is {nearest}")
            }
            Self::NoBinary => f.write_str("no-binary is set for it"),
            Self::SourceOnly => f.write_str("it is locked as a source"),
        }
    }
}

impl Plan {
    /// Chooses a file for each record of `closure`, which is one of `lock`.
    ///
    /// # Errors
    /// The first record that has no usable file.
    pub fn of(
        lock: &Lock,
        closure: &Closure,
        tags: &CompatibleTags,
        preferences: &FilePreferences,
    ) -> Result<Self, LockError> {
        let mut packages = Vec::new();
        for (index, extras) in closure.records() {
            let record = lock.record(index);
            let Some((choice, reason)) =
                choose(record, tags, preferences).map_err(|reason| unusable(record, reason))?
            else {
                continue;
            };
            packages.push(PlannedPackage {
                record: index,
                name: record.name.clone(),
                version: record.version.clone(),
                extras: extras.clone(),
                choice,
                subdirectory: record.source.subdirectory().map(str::to_owned),
                reason,
            });
        }
        packages.sort_by_cached_key(PlannedPackage::line);
        Ok(Self { packages })
    }

    /// `NAME==VERSION FILE` for each package, sorted. The version may be `(dynamic)`; the file may be `git:URL#COMMIT` or
    /// `local:KIND:PATH`.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.packages.iter().map(PlannedPackage::line)
    }
}

impl Project {
    /// Chooses a file for each record of `closure`. `preferences` say all there is to say: those of the project's own
    /// settings are [`FilePreferences::of`] its [`settings`](Project::settings).
    ///
    /// # Errors
    /// The first record that has no usable file.
    pub fn plan(
        &self,
        closure: &Closure,
        tags: &CompatibleTags,
        preferences: &FilePreferences,
    ) -> Result<Plan, LockError> {
        Plan::of(self.lock(), closure, tags, preferences)
    }
}

impl PlannedPackage {
    /// `NAME==VERSION FILE`
    pub fn line(&self) -> String {
        let version = self.version.as_ref().map_or_else(|| "(dynamic)".to_owned(), Version::to_string);
        format!("{}=={version} {}", self.name, self.choice)
    }
}

/// The file's name, `git:URL#COMMIT` or `local:KIND:PATH`.
impl fmt::Display for FileChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wheel(file) | Self::Sdist(file) => f.write_str(&file.file_name),
            Self::Git(git) => write!(f, "git:{}", git.shown()),
            Self::Tree { path, kind: TreeKind::Directory } => write!(f, "local:directory:{}", path.display()),
            Self::Tree { path, kind: TreeKind::Editable } => write!(f, "local:editable:{}", path.display()),
        }
    }
}

fn unusable(record: &Record, reason: NoFileReason) -> LockError {
    LockError::NoUsableFile { record: record.to_string(), origin: record.source.to_string(), reason }
}

/// None if it is not to be installed itself.
fn choose(
    record: &Record,
    tags: &CompatibleTags,
    preferences: &FilePreferences,
) -> Result<Option<(FileChoice, Reason)>, NoFileReason> {
    let tree = |path: &PathBuf, kind| FileChoice::Tree { path: path.clone(), kind };
    let source = match &record.source {
        RecordSource::Virtual(_) => return Ok(None),
        RecordSource::Registry(_) | RecordSource::Url { .. } | RecordSource::Path(_) => {
            let files = Files { name: &record.name, wheels: &record.wheels, sdist: record.sdist.as_ref() };
            return choose_file(files, tags, preferences).map(Some);
        }
        RecordSource::Git(git) => FileChoice::Git(git.clone()),
        RecordSource::Directory(path) => tree(path, TreeKind::Directory),
        RecordSource::Editable(path) => tree(path, TreeKind::Editable),
    };
    if preferences.forbids_building(&record.name) {
        return Err(NoFileReason::NoWheelForNoBuild);
    }
    Ok(Some((source, Reason::SourceOnly)))
}

/// What a package can be had as.
pub(super) struct Files<'f> {
    pub(super) name: &'f PackageName,
    pub(super) wheels: &'f [LockedFile],
    pub(super) sdist: Option<&'f LockedFile>,
}

/// The best wheel, or else the sdist.
pub(super) fn choose_file(
    files: Files<'_>,
    tags: &CompatibleTags,
    preferences: &FilePreferences,
) -> Result<(FileChoice, Reason), NoFileReason> {
    let no_wheels = preferences.forbids_wheels_of(files.name);
    let no_building = preferences.forbids_building(files.name);
    if !no_wheels && let Some(wheel) = best_wheel(files.wheels, |wheel| &wheel.file_name, tags) {
        return Ok((FileChoice::Wheel(wheel.clone()), Reason::BestWheel));
    }
    let nearest =
        || nearest_wheel(files.wheels.iter().map(|wheel| &*wheel.file_name), tags).map(str::to_owned);
    match files.sdist {
        Some(sdist) if !no_building => {
            let reason = match nearest() {
                _ if no_wheels => Reason::NoBinary,
                Some(nearest) => Reason::NoCompatibleWheel { nearest },
                None => Reason::NoWheels,
            };
            Ok((FileChoice::Sdist(sdist.clone()), reason))
        }
        _ => Err(match (no_wheels, no_building, nearest()) {
            (true, true, _) => NoFileReason::NothingAllowed,
            (true, false, _) => NoFileReason::NoSourceForNoBinary,
            (false, true, None) => NoFileReason::NoWheelForNoBuild,
            (false, true, Some(nearest)) => NoFileReason::NoCompatibleWheelForNoBuild(nearest),
            (false, false, Some(nearest)) => NoFileReason::NoCompatibleWheel(nearest),
            (false, false, None) => NoFileReason::NoFile,
        }),
    }
}
