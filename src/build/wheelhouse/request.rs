//! What a wheelhouse is to be made of, as the user says it. Knows nothing of what that turns out to be.

use std::path::PathBuf;
use std::str::FromStr;

use pep508_rs::PackageName;

use crate::lock::Selection;

/// What a wheelhouse is to be made of, and how.
#[derive(Clone, Debug)]
pub struct WheelhouseRequest {
    /// What has to be installed.
    pub input: WheelhouseInput,
    /// Which wheels may not be taken, and which not be built.
    pub files: FileFlags,
    /// Whether a pylock.toml is written for each target, too.
    pub pylock: bool,
    /// Whether what is made is installed and imported on each target.
    pub check: bool,
}

/// What has to be installed.
#[derive(Clone, Debug)]
pub enum WheelhouseInput {
    /// What uv would install of a project that is locked, with these of its extras, groups and members.
    Project {
        /// The directory of the project, or of a member.
        directory: PathBuf,
        /// What of it.
        selection: Selection,
    },
    /// What these requirements are resolved to.
    Requirements {
        /// PEP 508, paths and URLs.
        requirements: Vec<String>,
        /// Requirements files.
        files: Vec<PathBuf>,
    },
    /// What a lock file of the standard says (PEP 751).
    Pylock {
        /// The file.
        path: PathBuf,
        /// What of it beside what everybody gets.
        selection: Selection,
    },
}

/// Which wheels may not be taken, and which not be built, as flags say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileFlags {
    /// Whose wheels are built, whatever an index has.
    pub no_binary: PackageSet,
    /// Which are not built, whatever an index lacks.
    pub only_binary: PackageSet,
}

/// Some packages, or all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageSet {
    /// Whether it is all.
    pub all: bool,
    /// Their normalised names.
    pub names: Vec<PackageName>,
}

impl PackageSet {
    /// Whether `name` is among them.
    pub fn contains(&self, name: &PackageName) -> bool {
        self.all || self.names.contains(name)
    }

    /// Adds what `text` says, as pip has it: names with commas between them, `:all:`, or `:none:`, which empties it.
    ///
    /// # Errors
    /// A text that is no name of a package.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part {
                ":all:" => self.all = true,
                ":none:" => *self = Self::default(),
                name => {
                    let name = PackageName::from_str(name)
                        .map_err(|_| format!("`{name}` is neither the name of a package nor :all:"))?;
                    if !self.names.contains(&name) {
                        self.names.push(name);
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_as_for_pip() {
        let mut set = PackageSet::default();
        set.add("Foo.Bar, baz").unwrap();
        set.add("baz").unwrap();
        assert_eq!(set.names.len(), 2);
        assert!(set.contains(&"foo-bar".parse().unwrap()) && !set.contains(&"other".parse().unwrap()));
        set.add(":all:").unwrap();
        assert!(set.contains(&"other".parse().unwrap()));
        set.add(":none:,one").unwrap();
        assert!(!set.contains(&"baz".parse().unwrap()) && set.contains(&"one".parse().unwrap()));
        assert!(set.add("a b").unwrap_err().contains(":all:"));
    }
}
