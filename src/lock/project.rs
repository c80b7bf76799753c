//! A project on disk: its workspace's root with the lock, and the pyproject.toml files of its members. Knows nothing of
//! environments.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use pep440_rs::VersionSpecifiers;
use pep508_rs::{ExtraName, PackageName};

use super::error::LockError;
use super::group_name::GroupName;
use super::lock_file::Lock;
use super::manifest::DefaultGroups;
use super::pyproject::{PyProject, read_uv_toml};
use super::record_index::RecordIndex;
use super::settings::ProjectSettings;

/// A project: the one in a directory, in its workspace, with the workspace's lock.
#[derive(Debug)]
pub struct Project {
    lock: Lock,
    root: PathBuf,
    root_file: PyProject,
    settings: ProjectSettings,
    /// The project somebody stands in; none if that is a root without `[project]`.
    current: Option<RecordIndex>,
}

impl Project {
    /// Opens the project whose pyproject.toml is in `directory` or, if there is none, above it.
    pub fn open(directory: &Path) -> Result<Self, LockError> {
        let real = fs_err::canonicalize(directory)
            .map_err(|source| LockError::Unreadable { path: directory.to_owned(), source })?;
        let own = real
            .ancestors()
            .find(|directory| directory.join("pyproject.toml").is_file())
            .ok_or_else(|| LockError::NoProject { directory: directory.to_owned() })?;
        let own_file = PyProject::read(&own.join("pyproject.toml"))?;
        if !own_file.is_workspace {
            for above in own.ancestors().skip(1).filter(|above| above.join("pyproject.toml").is_file()) {
                let file = PyProject::read(&above.join("pyproject.toml"))?;
                if !file.is_workspace {
                    continue;
                }
                // A project below a workspace that it is no member of is one by itself.
                let lock = match read_lock(above) {
                    Ok(lock) => lock,
                    Err(LockError::NoLock { .. }) => break,
                    Err(error) => return Err(error),
                };
                if let Some(member) = record_in(&lock, above, own) {
                    return Self::new(lock, above, file, Some(member));
                }
                break;
            }
        }
        let lock = read_lock(own)?;
        let current = match &own_file.name {
            Some(_) => Some(record_in(&lock, own, own).ok_or_else(|| LockError::NotInLock {
                lock: lock.path().to_owned(),
                directory: own.to_owned(),
            })?),
            None => None,
        };
        Self::new(lock, own, own_file, current)
    }

    fn new(
        lock: Lock,
        root: &Path,
        root_file: PyProject,
        current: Option<RecordIndex>,
    ) -> Result<Self, LockError> {
        // Where there is one, uv does not look into [tool.uv].
        let uv_toml = root.join("uv.toml");
        let settings = if uv_toml.is_file() { read_uv_toml(&uv_toml)? } else { root_file.settings.clone() };
        Ok(Self { lock, root: root.to_owned(), root_file, settings, current })
    }

    /// The workspace's lock.
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Where it is.
    pub fn lock_path(&self) -> &Path {
        self.lock.path()
    }

    /// The workspace's root: absolute, and what paths in the lock are relative to.
    pub fn root_directory(&self) -> &Path {
        &self.root
    }

    /// The workspace's settings, as far as they are not in the lock.
    pub fn settings(&self) -> &ProjectSettings {
        &self.settings
    }

    /// The project that was opened; none if it is a root without `[project]`.
    pub fn current(&self) -> Option<RecordIndex> {
        self.current
    }

    /// The record of the root's own project; none if it has no `[project]`.
    pub fn root_record(&self) -> Option<RecordIndex> {
        self.root_file.name.as_ref()?;
        record_in(&self.lock, &self.root, &self.root)
    }

    /// The members of the workspace, or the one project; in the lock's order.
    pub fn members(&self) -> Vec<RecordIndex> {
        let names = &self.lock.manifest().members;
        let is_member = |index: &RecordIndex| {
            let record = self.lock.record(*index);
            match names[..] {
                [] => Some(*index) == self.root_record(),
                _ => record.source.tree().is_some() && names.contains(&record.name),
            }
        };
        self.lock.records().map(|(index, _)| index).filter(is_member).collect()
    }

    /// The member of that name.
    pub fn member(&self, name: &PackageName) -> Option<RecordIndex> {
        self.members().into_iter().find(|member| self.lock.record(*member).name == *name)
    }

    pub(super) fn manifest_groups(&self) -> Option<ManifestGroups<'_>> {
        self.root_file.name.is_none().then_some(ManifestGroups { lock: &self.lock, file: &self.root_file })
    }

    /// What is known of a member: by the lock, and by its pyproject.toml, which a lock of revision 5 or later can do
    /// without.
    pub(super) fn declarations(&self, member: RecordIndex) -> Result<Declarations<'_>, LockError> {
        let tree = self.lock.record(member).source.tree();
        let path = self.root.join(tree.map_or(Path::new("."), PathBuf::as_path)).join("pyproject.toml");
        let file = match PyProject::read(&path) {
            Err(LockError::Unreadable { source, .. })
                if self.lock.revision() >= 5 && source.kind() == std::io::ErrorKind::NotFound =>
            {
                None
            }
            read => Some(read?),
        };
        Ok(Declarations { lock: &self.lock, member, file })
    }
}

fn read_lock(root: &Path) -> Result<Lock, LockError> {
    let path = root.join("uv.lock");
    if !path.exists() {
        return Err(LockError::NoLock { path });
    }
    Lock::read(&path)
}

/// The record of `lock`, which is in `root`, whose source tree is `directory`.
fn record_in(lock: &Lock, root: &Path, directory: &Path) -> Option<RecordIndex> {
    let relative = directory.strip_prefix(root).ok()?;
    let is_it = |path: &PathBuf| path == directory || normal(path).as_deref() == Some(relative);
    lock.records().find(|(_, record)| record.source.tree().is_some_and(is_it)).map(|(index, _)| index)
}

/// A relative path without `.`; none if it leads out.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => normal.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(normal)
}

/// The groups of a root without `[project]`.
#[derive(Clone, Copy)]
pub(super) struct ManifestGroups<'p> {
    lock: &'p Lock,
    file: &'p PyProject,
}

impl ManifestGroups<'_> {
    /// Their names.
    pub(super) fn names(self) -> BTreeSet<GroupName> {
        self.lock.manifest().dependency_groups.keys().chain(self.file.groups()).cloned().collect()
    }

    /// Those that are taken if nobody says otherwise, if somebody says which.
    pub(super) fn default_groups(self) -> Option<DefaultGroups> {
        self.file.default_groups.clone().or_else(|| self.lock.manifest().default_groups.clone())
    }

    /// The Pythons one of them needs, if the lock does not say so.
    pub(super) fn requires_python(self, group: &GroupName) -> Option<VersionSpecifiers> {
        let is_locked = self.lock.manifest().group_requires_python.contains_key(group);
        self.file.requires_python(group).filter(|_| !is_locked)
    }
}

/// What a member has: extras and groups, those that need nothing included.
pub(super) struct Declarations<'p> {
    lock: &'p Lock,
    member: RecordIndex,
    file: Option<PyProject>,
}

impl Declarations<'_> {
    /// The names of its groups.
    pub(super) fn groups(&self) -> BTreeSet<GroupName> {
        let record = self.lock.record(self.member);
        let locked = record.dependency_groups.keys().chain(&record.declared_groups);
        locked.chain(self.file.iter().flat_map(PyProject::groups)).cloned().collect()
    }

    /// The names of its extras.
    pub(super) fn extras(&self) -> BTreeSet<ExtraName> {
        let record = self.lock.record(self.member);
        let locked = record.optional_dependencies.keys().chain(&record.provides_extras);
        locked.chain(self.file.iter().flat_map(|file| &file.extras)).cloned().collect()
    }

    /// The groups that are taken if nobody says otherwise, if somebody says which.
    pub(super) fn default_groups(&self) -> Option<DefaultGroups> {
        let locked = self.lock.record(self.member).default_groups.clone();
        self.file.as_ref().and_then(|file| file.default_groups.clone()).or(locked)
    }

    /// The Pythons one of its groups needs, if the lock does not say so.
    pub(super) fn requires_python(&self, group: &GroupName) -> Option<VersionSpecifiers> {
        let is_locked = self.lock.record(self.member).group_requires_python.contains_key(group);
        self.file.as_ref().and_then(|file| file.requires_python(group)).filter(|_| !is_locked)
    }
}
