//! What of a project is to be installed, before it is known where.

use pep508_rs::ExtraName;

use super::conflicts::{ActiveAtoms, ConflictItem};
use super::group_name::GroupName;
use super::lock_file::Lock;
use super::record_index::RecordIndex;

/// What of a project is to be installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The projects, with what is wanted of each.
    pub roots: Vec<Root>,
    /// Groups of a workspace's root that has no `[project]`.
    pub manifest_groups: Vec<GroupName>,
    /// Whether the roots themselves, their dependencies and those of their extras are left out (`--only-group`).
    pub only_groups: bool,
}

/// A project that is to be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Its record.
    pub record: RecordIndex,
    /// The extras wanted.
    pub extras: Vec<ExtraName>,
    /// The groups wanted.
    pub groups: Vec<GroupName>,
}

impl Configuration {
    /// What of the lock's conflicts is active whatever the environment is. Edges activate more.
    pub fn active_atoms(&self, lock: &Lock) -> ActiveAtoms {
        let mut active = ActiveAtoms::default();
        for root in &self.roots {
            let name = &lock.record(root.record).name;
            if !self.only_groups {
                active.activate(&ConflictItem::project(name));
                for extra in &root.extras {
                    active.activate(&ConflictItem::extra(name, extra));
                }
            }
            for group in &root.groups {
                active.activate(&ConflictItem::group(name, group));
            }
        }
        active
    }
}
