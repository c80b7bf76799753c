//! A pylock.toml (PEP 751) as input of a wheelhouse. Knows nothing of what is fetched or built.

use std::path::{Path, PathBuf};

use super::lock_files::{distribution, preferences};
use super::planned::TargetPlan;
use super::request::FileFlags;
use super::target_python::TargetPython;
use crate::contract::{Failure, FailureClass};
use crate::lock::{FilePreferences, Pylock, PylockSelection, Selection};
use crate::platform::Target;

/// A lock file of the standard, and what of its files may be used.
pub(super) struct StandardLock {
    lock: Pylock,
    /// What its paths are relative to.
    directory: PathBuf,
    selection: PylockSelection,
    preferences: FilePreferences,
}

impl StandardLock {
    /// Reads the lock at `path`, of which `selection` is wanted.
    pub(super) fn read(path: &Path, selection: &Selection, files: &FileFlags) -> Result<Self, Failure> {
        let lock = Pylock::read(path)?;
        let selection = selected(&lock, selection)?;
        let path = fs_err::canonicalize(path)?;
        let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Self { lock, directory, selection, preferences: preferences(files) })
    }

    /// What has to be installed on `target`, where `python` is.
    pub(super) fn plan(&self, target: Target, python: TargetPython) -> Result<TargetPlan, Failure> {
        let plan = self.lock.plan(&self.selection, &python.markers, &python.tags, &self.preferences)?;
        let distributions = plan.packages.iter().map(|package| distribution(&self.directory, package));
        Ok(TargetPlan {
            target,
            python: python.facts,
            distributions: distributions.collect::<Result<_, _>>()?,
            lines: plan.lines().collect(),
        })
    }
}

/// What `selection` asks of `lock`: extras, and groups beside the default ones.
fn selected(lock: &Pylock, selection: &Selection) -> Result<PylockSelection, Failure> {
    let of_projects = [
        ("--only-group", !selection.only_groups.is_empty()),
        ("--package", !selection.packages.is_empty()),
        ("--all-packages", selection.all_packages),
        ("--all-extras", selection.all_extras),
    ];
    if let Some((flag, _)) = of_projects.into_iter().find(|(_, given)| *given) {
        let message = format!("{flag} is for projects with a uv.lock, and {} is none", lock.path().display());
        return Err(Failure::new(FailureClass::InvalidSource, message)
            .with_hint("a pylock.toml knows --extra, --group and --no-default-groups"));
    }
    let defaults = lock.default_groups().iter().filter(|_| !selection.no_default_groups);
    let groups = defaults.chain(&selection.groups).cloned().collect();
    Ok(PylockSelection { extras: selection.extras.clone(), groups: Some(groups) })
}
