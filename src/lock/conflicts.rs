//! Conflicts: extras, groups and projects of which at most one is active at a time, and the atoms that markers of the
//! lock have for them. Knows nothing of what activates them.

use std::collections::BTreeSet;
use std::fmt;

use pep508_rs::{ExtraName, MarkerEnvironment, MarkerTree, MarkerTreeKind, MarkerValueExtra, PackageName};

use super::group_name::GroupName;

/// Something that is in conflict with something else.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConflictItem {
    /// Of which member.
    pub package: PackageName,
    /// What of it.
    pub kind: ConflictKind,
}

/// What of a member is in conflict.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConflictKind {
    /// An extra.
    Extra(ExtraName),
    /// A group.
    Group(GroupName),
    /// Its own dependencies.
    Project,
}

/// Items of which at most one may be active.
pub type ConflictSet = Vec<ConflictItem>;

impl ConflictItem {
    /// An extra of `package`.
    pub fn extra(package: &PackageName, extra: &ExtraName) -> Self {
        Self { package: package.clone(), kind: ConflictKind::Extra(extra.clone()) }
    }

    /// A group of `package`.
    pub fn group(package: &PackageName, group: &GroupName) -> Self {
        Self { package: package.clone(), kind: ConflictKind::Group(group.clone()) }
    }

    /// The dependencies of `package` itself.
    pub fn project(package: &PackageName) -> Self {
        Self { package: package.clone(), kind: ConflictKind::Project }
    }

    /// How markers of the lock spell it: `extra-N-PACKAGE-EXTRA`, `group-N-PACKAGE-GROUP` or `project-N-PACKAGE`, where N
    /// is the length of the package's name.
    pub fn atom(&self) -> ExtraName {
        let package = self.package.as_ref();
        let text = match &self.kind {
            ConflictKind::Extra(extra) => format!("extra-{}-{package}-{extra}", package.len()),
            ConflictKind::Group(group) => format!("group-{}-{package}-{group}", package.len()),
            ConflictKind::Project => format!("project-{}-{package}", package.len()),
        };
        // Only the empty name is no name, and it has no letters to be refused for.
        text.parse().unwrap_or_else(|_| package.parse().expect("a package's name is an extra's name"))
    }
}

/// As an error names it: `extra cpu of nanochat`.
impl fmt::Display for ConflictItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ConflictKind::Extra(extra) => write!(f, "the extra `{extra}` of {}", self.package),
            ConflictKind::Group(group) => write!(f, "the group `{group}` of {}", self.package),
            ConflictKind::Project => write!(f, "the dependencies of {}", self.package),
        }
    }
}

/// The atoms that are true. All others are false.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActiveAtoms(BTreeSet<ExtraName>);

impl ActiveAtoms {
    /// Makes `item` active; whether it was not.
    pub fn activate(&mut self, item: &ConflictItem) -> bool {
        self.0.insert(item.atom())
    }

    /// Makes `item` inactive.
    pub fn deactivate(&mut self, item: &ConflictItem) {
        self.0.remove(&item.atom());
    }

    /// The atoms.
    pub(super) fn iter(&self) -> impl Iterator<Item = &ExtraName> {
        self.0.iter()
    }

    /// Whether `item` is active.
    pub fn has(&self, item: &ConflictItem) -> bool {
        self.0.contains(&item.atom())
    }

    /// Whether `atom` is true: one of a conflict, or a plain `extra == 'x'` within the dependencies of that extra.
    pub fn is_true(&self, atom: &ExtraName, within: Option<&ExtraName>) -> bool {
        within == Some(atom) || self.0.contains(atom)
    }

    /// Whether `marker` holds in `environment`, for an edge of the extra `within` or of none.
    ///
    /// As [`MarkerTree::evaluate`], which walks all ways through the marker for its warnings, and there may be
    /// exponentially many.
    pub fn hold(
        &self,
        marker: &MarkerTree,
        environment: &MarkerEnvironment,
        within: Option<&ExtraName>,
    ) -> bool {
        let mut at = Some(marker.clone());
        while let Some(node) = at {
            at = match node.kind() {
                MarkerTreeKind::True => return true,
                MarkerTreeKind::False => return false,
                MarkerTreeKind::Version(node) => {
                    let version = environment.get_version(node.key());
                    node.edges().find(|(range, _)| range.contains(version)).map(|(_, below)| below)
                }
                MarkerTreeKind::String(node) => {
                    let text = environment.get_string(node.key()).to_owned();
                    node.children().find(|(range, _)| range.contains(&text)).map(|(_, below)| below)
                }
                MarkerTreeKind::In(node) => {
                    Some(node.edge(node.value().contains(environment.get_string(node.key()))))
                }
                MarkerTreeKind::Contains(node) => {
                    Some(node.edge(environment.get_string(node.key()).contains(node.value())))
                }
                MarkerTreeKind::Extra(node) => {
                    let atom = match node.name() {
                        MarkerValueExtra::Extra(atom) => Some(atom),
                        MarkerValueExtra::Arbitrary(_) => None,
                    };
                    Some(node.edge(atom.is_some_and(|atom| self.is_true(atom, within))))
                }
            };
        }
        false
    }
}
