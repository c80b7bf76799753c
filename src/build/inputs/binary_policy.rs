//! `--no-binary` and `--only-binary`: of which projects no wheel, or nothing but a wheel, is taken from an index.
//! Knows nothing of files.

use std::collections::BTreeSet;
use std::str::FromStr;

use pep508_rs::PackageName;

/// What is taken of which project. What is said of one wins over what is said of all; what is said later over what was
/// said before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BinaryPolicy {
    no_binary: Projects,
    only_binary: Projects,
}

/// All projects, or some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Projects {
    all: bool,
    names: BTreeSet<PackageName>,
}

/// What a file must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenFiles {
    /// A wheel if there is one, or else an sdist.
    Any,
    /// An sdist.
    Sdists,
    /// A wheel.
    Wheels,
}

impl BinaryPolicy {
    /// `--no-binary VALUE`: `:all:`, `:none:`, or names with commas between them.
    ///
    /// # Errors
    /// What is wrong with the value.
    pub fn refuse_wheels(&mut self, value: &str) -> Result<(), String> {
        set(&mut self.no_binary, &mut self.only_binary, value)
    }

    /// `--only-binary VALUE`: the same, of sdists.
    ///
    /// # Errors
    /// What is wrong with the value.
    pub fn refuse_sdists(&mut self, value: &str) -> Result<(), String> {
        set(&mut self.only_binary, &mut self.no_binary, value)
    }

    /// Whether nothing is built, or only what is named: what has no name yet is then not built to find it out.
    pub fn builds_only_named(&self) -> bool {
        self.only_binary.all
    }

    /// What is taken of `project`.
    pub fn of(&self, project: &PackageName) -> TakenFiles {
        if self.only_binary.names.contains(project) {
            TakenFiles::Wheels
        } else if self.no_binary.names.contains(project) {
            TakenFiles::Sdists
        } else if self.only_binary.all {
            TakenFiles::Wheels
        } else if self.no_binary.all {
            TakenFiles::Sdists
        } else {
            TakenFiles::Any
        }
    }
}

fn set(projects: &mut Projects, others: &mut Projects, value: &str) -> Result<(), String> {
    for part in value.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part {
            ":all:" => {
                *projects = Projects { all: true, names: BTreeSet::new() };
                *others = Projects::default();
            }
            ":none:" => *projects = Projects::default(),
            _ => {
                let name = PackageName::from_str(part).map_err(|error| error.to_string())?;
                others.names.remove(&name);
                projects.names.insert(name);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(flags: &str) -> BinaryPolicy {
        let mut policy = BinaryPolicy::default();
        for flag in flags.split_whitespace() {
            match flag.split_once('=').unwrap() {
                ("no", value) => policy.refuse_wheels(value).unwrap(),
                (_, value) => policy.refuse_sdists(value).unwrap(),
            }
        }
        policy
    }

    #[test]
    fn names_win_over_all_and_the_last_word_counts() {
        use TakenFiles::{Any, Sdists, Wheels};
        for (flags, a, b) in [
            ("", Any, Any),
            ("no=A", Sdists, Any),
            ("only=:all: no=a", Sdists, Wheels),
            ("no=:all: only=a,b", Wheels, Wheels),
            ("no=a only=a", Wheels, Any),
            ("no=a,b no=:none:", Any, Any),
            ("no=a only=:all:", Wheels, Wheels),
        ] {
            let policy = policy(flags);
            let of = |name: &str| policy.of(&name.parse().unwrap());
            assert_eq!((of("a"), of("b")), (a, b), "{flags}");
        }
        assert!(BinaryPolicy::default().refuse_wheels("no name").is_err());
    }
}
