//! From what is asked of a project to a configuration, as uv 0.13 does it.
//!
//! - The default groups are those of the one member that is asked for, otherwise those of the project somebody stands in.
//! - A group is taken of every member asked for that has it. If one member is asked for that does not have it, it is
//!   taken of the workspace's root; default groups are not.
//! - The groups of a root without `[project]` count for whatever members, unless a single one has a group of that name.

use std::collections::BTreeSet;

use pep508_rs::{ExtraName, PackageName};

use super::configuration::{Configuration, RequiredPython, Root};
use super::error::LockError;
use super::group_name::GroupName;
use super::manifest::DefaultGroups;
use super::project::{Declarations, Project};
use super::pyproject::dev;
use super::record_index::RecordIndex;
use super::selection::Selection;
use crate::nearest::nearest;

impl Project {
    /// What of the project `selection` asks for.
    ///
    /// # Errors
    /// What is unknown, with what looks most like it; what contradicts itself; a pyproject.toml that cannot be read.
    pub fn configuration(&self, selection: &Selection) -> Result<Configuration, LockError> {
        selection.check()?;
        let targets = self.targets(selection)?;
        let mut members = Vec::new();
        for record in targets {
            members.push(Member::new(self, record)?);
        }
        let single = match &members[..] {
            [one]
                if !selection.all_packages && (self.current().is_some() || selection.packages.len() == 1) =>
            {
                Some(one.record)
            }
            _ => None,
        };
        Selecting { project: self, selection, members, single, above: self.above(single)? }.configuration()
    }

    fn targets(&self, selection: &Selection) -> Result<Vec<RecordIndex>, LockError> {
        if !selection.packages.is_empty() {
            let names: BTreeSet<_> = selection.packages.iter().collect();
            return names.into_iter().map(|name| self.known_member(name)).collect();
        }
        match self.current() {
            Some(current) if !selection.all_packages => Ok(vec![current]),
            _ => Ok(self.members()),
        }
    }

    fn known_member(&self, name: &PackageName) -> Result<RecordIndex, LockError> {
        self.member(name).ok_or_else(|| {
            let members = self.members();
            let names = members.iter().map(|member| self.lock().record(*member).name.as_ref());
            unknown("package", name.as_ref(), "the workspace", names)
        })
    }

    /// The groups of the workspace's root, if `single` is a member that is not the root.
    fn above(&self, single: Option<RecordIndex>) -> Result<Option<Member<'_>>, LockError> {
        match self.root_record() {
            Some(root) if single.is_some_and(|single| single != root) => Member::new(self, root).map(Some),
            _ => Ok(None),
        }
    }
}

/// A member, and what it has.
struct Member<'p> {
    record: RecordIndex,
    name: PackageName,
    declarations: Declarations<'p>,
    groups: BTreeSet<GroupName>,
    extras: BTreeSet<ExtraName>,
}

impl<'p> Member<'p> {
    fn new(project: &'p Project, record: RecordIndex) -> Result<Self, LockError> {
        let declarations = project.declarations(record)?;
        Ok(Self {
            record,
            name: project.lock().record(record).name.clone(),
            groups: declarations.groups(),
            extras: declarations.extras(),
            declarations,
        })
    }
}

struct Selecting<'s> {
    project: &'s Project,
    selection: &'s Selection,
    members: Vec<Member<'s>>,
    /// The one member, if one is meant rather than all of a set.
    single: Option<RecordIndex>,
    /// The workspace's root, if that is another project than the single one.
    above: Option<Member<'s>>,
}

impl Selecting<'_> {
    fn configuration(&self) -> Result<Configuration, LockError> {
        self.check_extras()?;
        self.check_groups()?;
        let defaults = self.default_groups()?;
        let mut configuration =
            Configuration { only_groups: !self.selection.only_groups.is_empty(), ..Configuration::default() };
        let (mut own, mut pythons) = (BTreeSet::new(), Vec::new());
        for member in &self.members {
            let groups: Vec<_> =
                member.groups.iter().filter(|group| self.takes(group, &defaults)).cloned().collect();
            own.extend(member.groups.iter().cloned());
            pythons.extend(groups.iter().filter_map(|group| required_python(member, group)));
            configuration.roots.push(Root { record: member.record, extras: self.extras_of(member), groups });
        }
        let missing = |group: &&GroupName| !own.contains(*group) && self.takes(group, &[]);
        if let Some(above) = &self.above {
            let groups = above.groups.iter().filter(missing);
            pythons.extend(groups.clone().filter_map(|group| required_python(above, group)));
            configuration.root_groups = groups.map(|group| (above.record, group.clone())).collect();
        }
        if let Some(manifest) = self.project.manifest_groups() {
            let names = manifest.names();
            let taken: Vec<_> = match self.single {
                Some(_) => names.iter().filter(missing).cloned().collect(),
                None => names.iter().filter(|group| self.takes(group, &defaults)).cloned().collect(),
            };
            pythons.extend(taken.iter().filter_map(|group| {
                Some(RequiredPython {
                    by: format!("the group `{group}`"),
                    specifiers: manifest.requires_python(group)?,
                })
            }));
            configuration.manifest_groups = taken;
        }
        configuration.required_pythons = pythons;
        Ok(configuration)
    }

    /// Whether a group is wanted where it exists.
    fn takes(&self, group: &GroupName, defaults: &[GroupName]) -> bool {
        let selection = self.selection;
        let asked = selection.all_groups
            || selection.groups.contains(group)
            || selection.only_groups.contains(group)
            || defaults.contains(group);
        asked && !selection.no_groups.contains(group)
    }

    fn extras_of(&self, member: &Member<'_>) -> Vec<ExtraName> {
        let selection = self.selection;
        let wanted = |extra: &&ExtraName| {
            (selection.all_extras || selection.extras.contains(extra)) && !selection.no_extras.contains(extra)
        };
        if selection.only_groups.is_empty() {
            member.extras.iter().filter(wanted).cloned().collect()
        } else {
            Vec::new()
        }
    }

    /// The groups that nobody has to ask for; none if somebody does not want them.
    fn default_groups(&self) -> Result<Vec<GroupName>, LockError> {
        let (said, known) = self.declared_default_groups()?;
        let groups = match said {
            // All of those that there are, of whichever member.
            Some(DefaultGroups::All) => {
                let manifest = self.project.manifest_groups().map(|manifest| manifest.names());
                let members = self.members.iter().flat_map(|member| member.groups.iter().cloned());
                members.chain(manifest.into_iter().flatten()).collect()
            }
            Some(DefaultGroups::These(groups)) => {
                if let Some(group) = groups.iter().find(|group| **group != dev() && !known.contains(*group)) {
                    let names = known.iter().map(AsRef::as_ref);
                    return Err(unknown("default group", group.as_ref(), "`dependency-groups`", names));
                }
                groups
            }
            None => vec![dev()],
        };
        let unwanted = self.selection.no_default_groups || !self.selection.only_groups.is_empty();
        Ok(if unwanted { Vec::new() } else { groups })
    }

    /// What says which groups are the default ones, and the groups there are in that place.
    fn declared_default_groups(&self) -> Result<(Option<DefaultGroups>, BTreeSet<GroupName>), LockError> {
        let project = self.project;
        if let Some(single) = self.members.iter().find(|member| Some(member.record) == self.single) {
            return Ok((single.declarations.default_groups(), single.groups.clone()));
        }
        if let Some(current) = project.current() {
            let current = Member::new(project, current)?;
            return Ok((current.declarations.default_groups(), current.groups));
        }
        let Some(manifest) = project.manifest_groups() else { return Ok((None, BTreeSet::new())) };
        Ok((manifest.default_groups(), manifest.names()))
    }

    fn check_groups(&self) -> Result<(), LockError> {
        let manifest = self.project.manifest_groups().map(|manifest| manifest.names()).unwrap_or_default();
        let members = self.members.iter().chain(&self.above);
        let known: BTreeSet<_> = members.flat_map(|member| member.groups.iter()).chain(&manifest).collect();
        match self.selection.named_groups().find(|group| !known.contains(group)) {
            Some(group) => {
                Err(unknown("group", group.as_ref(), &self.place(), known.into_iter().map(AsRef::as_ref)))
            }
            None => Ok(()),
        }
    }

    fn check_extras(&self) -> Result<(), LockError> {
        let known: BTreeSet<_> = self.members.iter().flat_map(|member| member.extras.iter()).collect();
        let asked = self.selection.extras.iter().chain(&self.selection.no_extras);
        match asked.into_iter().find(|extra| !known.contains(extra)) {
            Some(extra) => {
                Err(unknown("extra", extra.as_ref(), &self.place(), known.into_iter().map(AsRef::as_ref)))
            }
            None => Ok(()),
        }
    }

    fn place(&self) -> String {
        match &self.members[..] {
            [one] => one.name.to_string(),
            _ => "any of the projects asked for".to_owned(),
        }
    }
}

fn required_python(member: &Member<'_>, group: &GroupName) -> Option<RequiredPython> {
    let specifiers = member.declarations.requires_python(group)?;
    Some(RequiredPython { by: format!("the group `{group}` of {}", member.name), specifiers })
}

fn unknown<'k>(
    kind: &'static str,
    name: &str,
    place: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> LockError {
    LockError::Unknown {
        kind,
        name: name.to_owned(),
        place: place.to_owned(),
        nearest: nearest(name, known).map(str::to_owned),
    }
}
