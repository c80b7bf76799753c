//! A record of a lock: one package in one version from one source, with what it needs and the files it is.

use std::collections::BTreeMap;
use std::fmt;

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{ExtraName, MarkerTree, PackageName};

use super::edge::Edge;
use super::group_name::GroupName;
use super::locked_file::LockedFile;
use super::manifest::DefaultGroups;
use super::source::RecordSource;

/// A `[[package]]`. No two of a lock have the same name, version and source.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Normalised.
    pub name: PackageName,
    /// None for a member whose version its backend finds.
    pub version: Option<Version>,
    /// Where it comes from.
    pub source: RecordSource,
    /// The forks of the resolution it exists in; in all, if there are none.
    pub resolution_markers: Vec<MarkerTree>,
    /// What it needs.
    pub dependencies: Vec<Edge>,
    /// What its extras need. An extra that needs nothing has no entry.
    pub optional_dependencies: BTreeMap<ExtraName, Vec<Edge>>,
    /// What its groups need, other groups' parts included.
    pub dependency_groups: BTreeMap<GroupName, Vec<Edge>>,
    /// The groups that are taken if nobody says otherwise; in locks of revision 5 and later.
    pub default_groups: Option<DefaultGroups>,
    /// The Pythons a group needs; in locks of revision 5 and later.
    pub group_requires_python: BTreeMap<GroupName, VersionSpecifiers>,
    /// Its extras, those that need nothing included; for members, in locks of revision 1 and later.
    pub provides_extras: Vec<ExtraName>,
    /// Its groups as `metadata` has them, those that need nothing included; for members.
    pub declared_groups: Vec<GroupName>,
    /// What it can be built from.
    pub sdist: Option<LockedFile>,
    /// Its wheels.
    pub wheels: Vec<LockedFile>,
}

impl Record {
    /// What tells it from any other record of its lock.
    pub fn id(&self, extra: Option<&ExtraName>) -> RecordId {
        RecordId {
            name: self.name.clone(),
            version: self.version.clone(),
            source: self.source.clone(),
            extra: extra.cloned(),
        }
    }
}

/// `NAME VERSION`, or `NAME` if the version is not in the lock.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{} {version}", self.name),
            None => self.name.fmt(f),
        }
    }
}

/// What tells a record, or one of its extras, from any other of its lock: name, version if it has one, source, and the
/// extra or none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId {
    /// Normalised.
    pub name: PackageName,
    /// None for a member whose version its backend finds.
    pub version: Option<Version>,
    /// Where it comes from.
    pub source: RecordSource,
    /// The extra.
    pub extra: Option<ExtraName>,
}

/// `NAME VERSION SOURCE EXTRA`, where the version may be `(dynamic)` and the extra `__base__`.
impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.as_ref().map_or_else(|| "(dynamic)".to_owned(), Version::to_string);
        let extra = self.extra.as_ref().map_or("__base__", AsRef::as_ref);
        write!(f, "{} {version} {} {extra}", self.name, self.source)
    }
}
