//! What a pyproject.toml says of extras, groups and the workspace. Knows nothing of the lock: which versions its
//! requirements lead to is said there, and the requirements are not read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pep440_rs::VersionSpecifiers;
use pep508_rs::{ExtraName, PackageName};

use super::document::{Defect, Document, Item, Table, array, name_of_key, package_name, read_text, table};
use super::error::LockError;
use super::group_name::GroupName;
use super::manifest::DefaultGroups;
use super::record_reading::default_groups;
use super::settings::ProjectSettings;

/// The largest pyproject.toml that is read, in bytes.
const LARGEST: u64 = 8 << 20;

/// A pyproject.toml.
#[derive(Clone, Debug, Default)]
pub(super) struct PyProject {
    /// Of the `[project]`, if there is one.
    pub(super) name: Option<PackageName>,
    /// Its extras.
    pub(super) extras: Vec<ExtraName>,
    groups: BTreeMap<GroupName, Group>,
    pub(super) default_groups: Option<DefaultGroups>,
    /// Whether it is the root of a workspace.
    pub(super) is_workspace: bool,
    /// Of its `[tool.uv]`.
    pub(super) settings: ProjectSettings,
}

#[derive(Clone, Debug, Default)]
struct Group {
    includes: Vec<GroupName>,
    requires_python: Option<VersionSpecifiers>,
}

impl PyProject {
    /// Reads `path`.
    pub(super) fn read(path: &Path) -> Result<Self, LockError> {
        let text = read_text(path, LARGEST)?;
        let document = Document::parse(path, &text)?;
        read(&document.root()).map_err(|defect| document.error(defect))
    }

    /// Its groups.
    pub(super) fn groups(&self) -> impl Iterator<Item = &GroupName> {
        self.groups.keys()
    }

    /// The Pythons a group needs, by itself and by what it includes, whatever the way there.
    pub(super) fn requires_python(&self, group: &GroupName) -> Option<VersionSpecifiers> {
        let (mut ahead, mut seen) = (vec![group], BTreeSet::from([group]));
        let mut specifiers = Vec::new();
        while let Some(name) = ahead.pop() {
            let Some(group) = self.groups.get(name) else { continue };
            specifiers.extend(group.requires_python.iter().flat_map(|python| python.iter().cloned()));
            ahead.extend(group.includes.iter().filter(|included| seen.insert(included)));
        }
        (!specifiers.is_empty()).then(|| specifiers.into_iter().collect())
    }
}

/// Reads the settings in the uv.toml at `path`.
pub(super) fn read_uv_toml(path: &Path) -> Result<ProjectSettings, LockError> {
    let text = read_text(path, LARGEST)?;
    let document = Document::parse(path, &text)?;
    ProjectSettings::read(&document.root()).map_err(|defect| document.error(defect))
}

fn read(root: &Table<'_>) -> Result<PyProject, Defect> {
    let mut read = PyProject::default();
    for (name, item) in root.entries_of("dependency-groups")? {
        read.groups.entry(name_of_key(name, item)?).or_default().includes = includes(item)?;
    }
    if let Some(project) = root.table("project")? {
        read.name = Some(package_name(project.need("name")?)?);
        for (extra, item) in project.entries_of("optional-dependencies")? {
            read.extras.push(name_of_key(extra, item)?);
        }
    }
    if let Some(uv) = root.table("tool")?.map(|tool| tool.table("uv")).transpose()?.flatten() {
        // What groups were called before PEP 735.
        if uv.get("dev-dependencies").is_some() {
            read.groups.entry(dev()).or_default();
        }
        for (name, item) in uv.entries_of("dependency-groups")? {
            let python = table(item)?.parsed("requires-python")?;
            read.groups.entry(name_of_key(name, item)?).or_default().requires_python = python;
        }
        read.default_groups = uv.get("default-groups").map(default_groups).transpose()?;
        read.is_workspace = uv.get("workspace").is_some();
        read.settings = ProjectSettings::read(&uv)?;
    }
    Ok(read)
}

/// The groups that a group names with `include-group`.
fn includes(group: &Item<'_>) -> Result<Vec<GroupName>, Defect> {
    let mut includes = Vec::new();
    for item in array(group)?.filter(|item| item.get_ref().is_table()) {
        includes.extend(table(item)?.parsed("include-group")?);
    }
    Ok(includes)
}

/// The group that is taken if nobody says otherwise.
pub(super) fn dev() -> GroupName {
    "dev".parse().expect("a valid name")
}
