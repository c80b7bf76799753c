//! What a pylock.toml means on one target: the packages wanted there, and the file of each. As PEP 751 says an installer
//! does it. Nothing is fetched here.

use std::collections::{BTreeMap, BTreeSet};

use pep508_rs::{ExtraName, MarkerEnvironment};

use super::marker::{extra_atom, group_atom};
use super::read::{Pylock, PylockPackage, PylockSource};
use crate::lock::closure::check_python;
use crate::lock::decision::describe;
use crate::lock::error::{LockError, NoFileReason, described};
use crate::lock::group_name::GroupName;
use crate::lock::plan::{FileChoice, FilePreferences, Files, Plan, PlannedPackage, Reason, choose_file};
use crate::lock::record_index::RecordIndex;
use crate::nearest::nearest;
use crate::packaging::compatible_tags::CompatibleTags;

/// What of a pylock.toml is wanted beside what everybody gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PylockSelection {
    /// Extras.
    pub extras: Vec<ExtraName>,
    /// Groups, instead of the file's `default-groups`.
    pub groups: Option<Vec<GroupName>>,
}

impl Pylock {
    /// The packages that are wanted in an environment, with their places in the file.
    ///
    /// # Errors
    /// If the file has no such extra or group, if it or a package is not for that environment, and if a package is there
    /// twice.
    pub fn wanted(
        &self,
        selection: &PylockSelection,
        environment: &MarkerEnvironment,
    ) -> Result<Vec<(RecordIndex, &PylockPackage)>, LockError> {
        let atoms = self.atoms(selection)?;
        let this = self.path.display().to_string();
        check_python(&this, &self.requires_python, environment)?;
        if !self.environments.is_empty()
            && !self.environments.iter().any(|marker| marker.evaluate(environment, &[]))
        {
            return Err(LockError::UnsupportedEnvironment {
                lock: self.path.clone(),
                environment: described(environment),
                supported: self.environments.iter().map(describe).collect::<Vec<_>>().join(" or "),
            });
        }
        let mut wanted = BTreeMap::new();
        for (at, package) in self.packages.iter().enumerate() {
            if !package.marker.evaluate(environment, &atoms) {
                continue;
            }
            check_python(package.name.as_ref(), &package.requires_python, environment)?;
            if let Some((_, first)) = wanted.insert(&package.name, (RecordIndex::from_position(at), package))
            {
                return Err(LockError::TwoAtOnce {
                    first: title(first),
                    second: title(package),
                    environments: described(environment),
                });
            }
        }
        Ok(wanted.into_values().collect())
    }

    /// What is to be installed on a target: for each package that is wanted there, a file. The records of the plan are
    /// places in [`Pylock::packages`].
    ///
    /// # Errors
    /// Those of [`Pylock::wanted`], and the first package that has no usable file.
    pub fn plan(
        &self,
        selection: &PylockSelection,
        environment: &MarkerEnvironment,
        tags: &CompatibleTags,
        preferences: &FilePreferences,
    ) -> Result<Plan, LockError> {
        let mut packages = Vec::new();
        for (record, package) in self.wanted(selection, environment)? {
            let (choice, reason) =
                package.choose(tags, preferences).map_err(|reason| LockError::NoUsableFile {
                    record: title(package),
                    origin: self.path.display().to_string(),
                    reason,
                })?;
            packages.push(PlannedPackage {
                record,
                name: package.name.clone(),
                version: package.version.clone(),
                extras: BTreeSet::new(),
                choice,
                subdirectory: package.subdirectory().map(str::to_owned),
                reason,
            });
        }
        packages.sort_by_cached_key(PlannedPackage::line);
        Ok(Plan { packages })
    }

    /// The atoms that are true with `selection`.
    fn atoms(&self, selection: &PylockSelection) -> Result<Vec<ExtraName>, LockError> {
        let unknown = |kind, name: &str, known: Vec<&str>| LockError::Unknown {
            kind,
            name: name.to_owned(),
            place: self.path.display().to_string(),
            nearest: nearest(name, known).map(str::to_owned),
        };
        if let Some(extra) = selection.extras.iter().find(|extra| !self.extras.contains(extra)) {
            let known = self.extras.iter().map(AsRef::as_ref).collect();
            return Err(unknown("extra", extra.as_ref(), known));
        }
        let groups = selection.groups.as_ref().unwrap_or(&self.default_groups);
        let known = || self.groups.iter().chain(&self.default_groups);
        if let Some(group) = groups.iter().find(|group| !known().any(|known| known == *group)) {
            return Err(unknown("group", group.as_ref(), known().map(AsRef::as_ref).collect()));
        }
        Ok(selection
            .extras
            .iter()
            .filter_map(extra_atom)
            .chain(groups.iter().filter_map(group_atom))
            .collect())
    }
}

impl PylockPackage {
    /// The file that is right for a target, and why.
    pub fn choose(
        &self,
        tags: &CompatibleTags,
        preferences: &FilePreferences,
    ) -> Result<(FileChoice, Reason), NoFileReason> {
        let source = match &self.source {
            PylockSource::Files { wheels, sdist, .. } => {
                let files = Files { name: &self.name, wheels, sdist: sdist.as_ref() };
                return choose_file(files, tags, preferences);
            }
            PylockSource::Git(git) => FileChoice::Git(git.clone()),
            PylockSource::Directory { path, kind, .. } => {
                FileChoice::Tree { path: path.clone(), kind: *kind }
            }
        };
        if preferences.forbids_building(&self.name) {
            return Err(NoFileReason::NoWheelForNoBuild);
        }
        Ok((source, Reason::SourceOnly))
    }

    /// The project in its archive, repository or tree, if not at the top.
    pub fn subdirectory(&self) -> Option<&str> {
        match &self.source {
            PylockSource::Files { subdirectory, .. } | PylockSource::Directory { subdirectory, .. } => {
                subdirectory.as_deref()
            }
            PylockSource::Git(git) => git.subdirectory.as_deref(),
        }
    }
}

/// `NAME VERSION`
fn title(package: &PylockPackage) -> String {
    match &package.version {
        Some(version) => format!("{} {version}", package.name),
        None => package.name.to_string(),
    }
}

#[cfg(test)]
mod tests;
