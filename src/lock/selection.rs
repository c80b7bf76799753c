//! What somebody asks of a project. Knows nothing of what the project has.

use pep508_rs::{ExtraName, PackageName};

use super::error::LockError;
use super::group_name::GroupName;

/// What is asked of a project: uv's flags of these names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Groups beside the default ones.
    pub groups: Vec<GroupName>,
    /// Groups that are left out, whoever asks for them.
    pub no_groups: Vec<GroupName>,
    /// Nothing but these groups: neither the project's dependencies nor the default groups.
    pub only_groups: Vec<GroupName>,
    /// All groups.
    pub all_groups: bool,
    /// Not the default groups.
    pub no_default_groups: bool,
    /// Extras of the projects.
    pub extras: Vec<ExtraName>,
    /// Extras that are left out of all.
    pub no_extras: Vec<ExtraName>,
    /// All extras.
    pub all_extras: bool,
    /// These members of the workspace.
    pub packages: Vec<PackageName>,
    /// All members of the workspace.
    pub all_packages: bool,
}

impl Selection {
    /// Refuses what uv's command line refuses.
    pub(super) fn check(&self) -> Result<(), LockError> {
        let contradiction = |message| Err(LockError::Contradiction(message));
        if !self.only_groups.is_empty() {
            if !self.groups.is_empty() || self.all_groups {
                return contradiction("--only-group leaves out what --group and --all-groups ask for");
            }
            if !self.extras.is_empty() || self.all_extras {
                return contradiction("--only-group leaves out the project that extras are of");
            }
        }
        if self.all_packages && !self.packages.is_empty() {
            return contradiction("--all-packages and --package exclude each other");
        }
        if self.all_extras && !self.extras.is_empty() {
            return contradiction("--all-extras and --extra exclude each other");
        }
        Ok(())
    }

    /// The groups that are asked for by name, those left out included.
    pub(super) fn named_groups(&self) -> impl Iterator<Item = &GroupName> {
        self.groups.iter().chain(&self.only_groups).chain(&self.no_groups)
    }
}
