//! The `[manifest]` of a lock: what was asked for, as far as it is not the project's own dependencies.

use std::collections::BTreeMap;

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::PackageName;

use super::edge::Edge;
use super::group_name::GroupName;
use super::requirement::LockedRequirement;

/// What `[manifest]` holds; empty for a project by itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// The members of the workspace, if it is one.
    pub members: Vec<PackageName>,
    /// What a script needs.
    pub requirements: Vec<ManifestDependency>,
    /// The groups of a root that has no `[project]`.
    pub dependency_groups: BTreeMap<GroupName, Vec<ManifestDependency>>,
    /// Which of those are taken if nobody says otherwise; in locks of revision 5 and later.
    pub default_groups: Option<DefaultGroups>,
    /// The Pythons a group of those needs; in locks of revision 5 and later.
    pub group_requires_python: BTreeMap<GroupName, VersionSpecifiers>,
    /// Bounds on what is found.
    pub constraints: Vec<LockedRequirement>,
    /// What counts in place of what packages ask for.
    pub overrides: Vec<LockedRequirement>,
    /// Bounds on what packages are built with.
    pub build_constraints: Vec<LockedRequirement>,
    /// What packages are said to need, so that they need not be built to know it.
    pub dependency_metadata: Vec<DependencyMetadata>,
}

/// A requirement of the manifest, and the records it may lead to.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestDependency {
    /// What was asked for.
    pub requirement: LockedRequirement,
    /// For each record of that name, when it is the one: the requirement's marker and one of those of the record's
    /// forks. At most one holds in any environment of the lock.
    pub candidates: Vec<Edge>,
}

/// The groups that are taken if nobody says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultGroups {
    /// All there are.
    All,
    /// These.
    These(Vec<GroupName>),
}

impl Default for DefaultGroups {
    /// `dev`, if there is one.
    fn default() -> Self {
        Self::These("dev".parse().into_iter().collect())
    }
}

/// An entry of `dependency-metadata`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DependencyMetadata {
    /// Of what.
    pub name: PackageName,
    /// Of which version; all, if none is given.
    pub version: Option<Version>,
    /// What it needs, as PEP 508 has it.
    pub requires_dist: Vec<String>,
    /// The Pythons it needs.
    pub requires_python: Option<VersionSpecifiers>,
    /// The extras it has.
    pub provides_extra: Vec<String>,
}
