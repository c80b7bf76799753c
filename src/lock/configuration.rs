//! What of a project is to be installed, before it is known where.

use pep440_rs::VersionSpecifiers;
use pep508_rs::ExtraName;

use super::conflicts::{ActiveAtoms, ConflictItem, ConflictKind};
use super::edge::Edge;
use super::graph::Graph;
use super::group_name::GroupName;
use super::lock_file::Lock;
use super::record_index::RecordIndex;

/// What of a project is to be installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The projects, with what is wanted of each.
    pub roots: Vec<Root>,
    /// Groups of a project that is not itself wanted: of the workspace's root, if a member is asked for a group that it
    /// does not have.
    pub root_groups: Vec<(RecordIndex, GroupName)>,
    /// Groups of a workspace's root that has no `[project]`.
    pub manifest_groups: Vec<GroupName>,
    /// Whether the roots themselves, their dependencies and those of their extras are left out (`--only-group`).
    pub only_groups: bool,
    /// The Pythons that groups need, as far as the lock does not say so.
    pub required_pythons: Vec<RequiredPython>,
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

/// The Pythons something needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredPython {
    /// What needs them, as a message names it.
    pub by: String,
    /// Which.
    pub specifiers: VersionSpecifiers,
}

impl Configuration {
    /// What of the lock's conflicts is active whatever the environment is. Edges activate more.
    pub fn active_atoms(&self, lock: &Lock) -> ActiveAtoms {
        let mut active = ActiveAtoms::default();
        for item in self.active_items(lock).into_iter().filter(|item| has_atom(item, lock)) {
            active.activate(&item);
        }
        active
    }

    /// The same, as items of conflicts.
    pub(super) fn active_items(&self, lock: &Lock) -> Vec<ConflictItem> {
        let mut items = Vec::new();
        for root in &self.roots {
            let name = &lock.record(root.record).name;
            if !self.only_groups {
                items.push(ConflictItem::project(name));
                items.extend(root.extras.iter().map(|extra| ConflictItem::extra(name, extra)));
            }
        }
        for (record, group) in self.groups() {
            items.push(ConflictItem::group(&lock.record(record).name, group));
        }
        items
    }

    /// The groups wanted that records have: of the roots, and of the workspace's root.
    pub fn groups(&self) -> impl Iterator<Item = (RecordIndex, &GroupName)> {
        let of_root = |root: &'_ Root| root.record;
        let roots = self
            .roots
            .iter()
            .flat_map(move |root| root.groups.iter().map(move |group| (of_root(root), group)));
        roots.chain(self.root_groups.iter().map(|(record, group)| (*record, group)))
    }

    /// The Pythons that the groups need.
    pub fn pythons(&self, lock: &Lock) -> Vec<RequiredPython> {
        let of_records = self.groups().filter_map(|(record, group)| {
            let record = lock.record(record);
            let specifiers = record.group_requires_python.get(group)?.clone();
            Some(RequiredPython { by: format!("the group `{group}` of {}", record.name), specifiers })
        });
        let of_manifest = self.manifest_groups.iter().filter_map(|group| {
            let specifiers = lock.manifest().group_requires_python.get(group)?.clone();
            Some(RequiredPython { by: format!("the group `{group}`"), specifiers })
        });
        of_records.chain(of_manifest).chain(self.required_pythons.iter().cloned()).collect()
    }

    /// The edges this begins with, beside the roots themselves: of all groups wanted, and of what a script needs.
    pub fn first_edges<'g>(&self, graph: &'g Graph<'_>) -> Vec<&'g Edge> {
        let of_records = self.groups().filter_map(|(record, group)| graph.group(record, group));
        let of_manifest = self.manifest_groups.iter().filter_map(|group| graph.manifest_group(group));
        let requirements = if self.only_groups { &[] } else { graph.manifest_requirements() };
        of_records.chain(of_manifest).flatten().chain(requirements).collect()
    }
}

/// An extra that needs nothing is not in the lock, so no marker of uv's has it as true.
fn has_atom(item: &ConflictItem, lock: &Lock) -> bool {
    let ConflictKind::Extra(extra) = &item.kind else { return true };
    lock.named(&item.package)
        .iter()
        .any(|record| lock.record(*record).optional_dependencies.contains_key(extra))
}
