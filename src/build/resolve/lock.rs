//! The lock file: exactly which wheels each sdist is built with. Ours, in TOML, sorted, so that it
//! can be read, compared and merged.
//! Knows nothing of how requirements are resolved.

use std::path::Path;

use pep440_rs::Version;
use pep508_rs::{PackageName, Requirement, VerbatimUrl, VersionOrUrl};
use serde::{Deserialize, Serialize};

use crate::build::inputs::tree_place::TreePlace;
use crate::contract::{Failure, FailureClass};
use crate::digest::Sha256;
use crate::platform::Target;

const FORMAT: u32 = 1;
const HEADER: &str = "# The wheels each sdist is built with, by hash. Written by `crosswheel build --lock`.\n\
                      # Refresh it with --update-lock.\n";

/// The contents of a lock file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    #[serde(default, rename = "sdist")]
    sdists: Vec<LockedSdist>,
}

/// An sdist and everything it is built with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSdist {
    /// Project name, or the file name of an sdist that does not tell its project.
    pub name: String,
    /// The version, if the sdist tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// SHA-256 of the sdist; none if it is made of a source tree, as every edit there changes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// The source tree that the sdist is made of: a path relative to the lock, or the URL of a repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<String>,
    /// The commit of that repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// What is built with these requirements; the wheel if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builds: Option<Product>,
    /// Where it was fetched from: a URL, or for a file that find-links or another lock led to a path relative to the lock,
    /// which begins with a dot; none for a file that was named itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// `major.minor` of the Python it is built with.
    pub python: String,
    /// The platform it is built for.
    pub target: Target,
    /// What is installed for the build, sorted by name.
    #[serde(default, rename = "requirement", skip_serializing_if = "Vec::is_empty")]
    pub requirements: Vec<LockedRequirement>,
}

/// What is built of a source tree, if it is not the wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Product {
    /// Its sdist.
    Sdist,
}

/// A wheel an sdist is built with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LockedRequirement {
    /// Normalised project name.
    pub name: PackageName,
    /// The version.
    pub version: Version,
    /// File name of the wheel.
    pub file_name: String,
    /// SHA-256 of the wheel.
    pub sha256: Sha256,
    /// Where the wheel is fetched from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// SHA-256 of the sdist the wheel is built from; that sdist has an entry of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub built_from: Option<Sha256>,
}

/// For which Python and platform an entry is wanted.
#[derive(Clone, Debug)]
pub struct LockEnvironment {
    /// `major.minor`.
    pub python: String,
    /// The platform.
    pub target: Target,
}

impl Lock {
    /// A lock of nothing.
    pub fn empty() -> Self {
        Self { version: FORMAT, sdists: Vec::new() }
    }

    /// Reads the lock file at `path`; none if there is no such file.
    pub fn read(path: &Path) -> Result<Option<Self>, Failure> {
        let text = match fs_err::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let lock: Self = toml::from_str(&text)
            .map_err(|error| drift(format!("{} is not a lock file: {error}", path.display())))?;
        if lock.version != FORMAT {
            let message =
                format!("{} has format {}; this crosswheel knows {FORMAT}", path.display(), lock.version);
            return Err(drift(message));
        }
        Ok(Some(lock))
    }

    /// Adds `entries`, replacing those for the same project, Python and platform.
    pub fn update(&mut self, entries: Vec<LockedSdist>) {
        let same = |a: &LockedSdist, b: &LockedSdist| {
            let of =
                |entry: &LockedSdist| (entry.python.clone(), entry.target, entry.tree.clone(), entry.builds);
            of(a) == of(b) && (a.tree.is_some() || (&a.name, &a.version) == (&b.name, &b.version))
        };
        self.sdists.retain(|old| !entries.iter().any(|new| same(old, new)));
        self.sdists.extend(entries);
        for entry in &mut self.sdists {
            entry.requirements.sort();
        }
        self.sdists.sort();
        self.sdists.dedup();
    }

    /// The text of the lock file.
    pub fn to_text(&self) -> String {
        let body = toml::to_string(self).expect("a lock has only strings, numbers and tables");
        format!("{HEADER}{body}")
    }

    /// Whether there is an entry for this Python and platform for the sdist with `sha256`, or for another one of the
    /// same project and version.
    pub fn knows(
        &self,
        name: &str,
        version: Option<&Version>,
        sha256: Sha256,
        environment: &LockEnvironment,
    ) -> bool {
        let is_it = |entry: &LockedSdist| {
            entry.sha256 == Some(sha256)
                || entry.tree.is_none() && entry.name == name && entry.version.as_ref() == version
        };
        self.sdists.iter().any(|entry| entry.is_for(environment) && is_it(entry))
    }

    /// Whether there is an entry for this Python and platform for what builds `product` of the source tree at `place`, and of
    /// its commit.
    pub fn knows_tree(
        &self,
        place: &TreePlace,
        product: Option<Product>,
        environment: &LockEnvironment,
    ) -> bool {
        let is_it = |entry: &LockedSdist| entry.is_of_tree(place, product) && entry.commit == place.commit;
        self.sdists.iter().any(|entry| entry.is_for(environment) && is_it(entry))
    }

    /// The entries, sorted.
    pub fn entries(&self) -> &[LockedSdist] {
        &self.sdists
    }

    /// The entry for the sdist with `sha256`, or what has drifted. `name` and `version` are those of
    /// the sdist, for the message.
    pub fn entry(
        &self,
        sha256: Sha256,
        name: &str,
        version: Option<&Version>,
        environment: &LockEnvironment,
    ) -> Result<&LockedSdist, Failure> {
        let fits =
            |entry: &&LockedSdist| entry.python == environment.python && entry.target == environment.target;
        if let Some(entry) = self.sdists.iter().filter(|entry| entry.sha256 == Some(sha256)).find(fits) {
            return Ok(entry);
        }
        let shown = version.map_or_else(|| name.to_owned(), |version| format!("{name} {version}"));
        if let Some(other) = self.sdists.iter().find(|entry| entry.sha256 == Some(sha256)) {
            return Err(drift(format!(
                "the lock has {shown} for Python {} on {}, not for Python {} on {}",
                other.python, other.target, environment.python, environment.target
            )));
        }
        let same = self.sdists.iter().find(|entry| entry.name == name && entry.version.as_ref() == version);
        if let Some(was) = same.and_then(|other| other.sha256) {
            return Err(drift(format!("the sdist of {shown} has sha256 {sha256}, the lock has {was}")));
        }
        Err(drift(format!("the lock has no entry for {shown}")))
    }

    /// The entry for what builds `product` of the source tree at `place`, or what has drifted. Nothing is said of the
    /// tree's files: of a directory they may change, and of a repository the commit decides.
    pub fn entry_of_tree(
        &self,
        place: &TreePlace,
        product: Option<Product>,
        environment: &LockEnvironment,
    ) -> Result<&LockedSdist, Failure> {
        let of_tree =
            |entry: &&LockedSdist| entry.tree.as_ref() == Some(&place.tree) && entry.builds == product;
        let fits =
            |entry: &&LockedSdist| entry.python == environment.python && entry.target == environment.target;
        let tree = &place.tree;
        let Some(entry) = self.sdists.iter().filter(of_tree).find(fits) else {
            return Err(drift(match self.sdists.iter().find(of_tree) {
                Some(other) => format!(
                    "the lock has {tree} for Python {} on {}, not for Python {} on {}",
                    other.python, other.target, environment.python, environment.target
                ),
                None => format!("the lock has no entry for {tree}"),
            }));
        };
        if entry.commit == place.commit {
            return Ok(entry);
        }
        let shown = |commit: &Option<String>| commit.clone().unwrap_or_else(|| "no commit".into());
        Err(drift(format!("{tree} is {}, the lock has {}", shown(&place.commit), shown(&entry.commit))))
    }

    /// Where the sdist with `sha256` that a locked wheel was built from comes from.
    pub fn built_from(&self, sha256: Sha256, environment: &LockEnvironment) -> Result<&LockedSdist, Failure> {
        let fits = |entry: &&LockedSdist| {
            entry.sha256 == Some(sha256)
                && entry.python == environment.python
                && entry.target == environment.target
        };
        self.sdists
            .iter()
            .find(fits)
            .ok_or_else(|| drift(format!("the lock has no entry for the sdist with sha256 {sha256}")))
    }
}

impl LockedSdist {
    /// Whether it is for this Python and platform.
    pub fn is_for(&self, environment: &LockEnvironment) -> bool {
        self.python == environment.python && self.target == environment.target
    }

    /// Whether it is for what builds `product` of the source tree at `place`, at whatever commit.
    pub fn is_of_tree(&self, place: &TreePlace, product: Option<Product>) -> bool {
        self.tree.as_ref() == Some(&place.tree) && self.builds == product
    }

    /// It alone, as text.
    pub fn to_text(&self) -> String {
        toml::to_string(self).expect("an entry has only strings and tables")
    }

    /// Fails unless every requirement of `asked` is among what is locked.
    pub fn check(&self, asked: &[Requirement<VerbatimUrl>]) -> Result<(), Failure> {
        for requirement in asked {
            let locked = self.requirements.iter().find(|locked| locked.name == requirement.name);
            let Some(locked) = locked else {
                return Err(drift(format!(
                    "{} needs `{requirement}`, which the lock does not have",
                    self.name
                )));
            };
            if let Some(VersionOrUrl::VersionSpecifier(specifiers)) = &requirement.version_or_url
                && !specifiers.contains(&locked.version)
            {
                return Err(drift(format!(
                    "{} needs `{requirement}`, the lock has {} {}",
                    self.name, locked.name, locked.version
                )));
            }
        }
        Ok(())
    }
}

/// A lock-drift failure that says how to refresh the lock.
pub fn drift(message: String) -> Failure {
    Failure::new(FailureClass::LockDrift, message)
        .with_hint("if the change is meant, refresh the lock with --update-lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> LockEnvironment {
        LockEnvironment { python: "3.12".into(), target: "linux_amd64".parse().unwrap() }
    }

    fn sdist(name: &str, content: &str) -> LockedSdist {
        let requirement = |name: &str, version: &str| LockedRequirement {
            name: name.parse().unwrap(),
            version: version.parse().unwrap(),
            file_name: format!("{name}-{version}-py3-none-any.whl"),
            sha256: Sha256::of(name.as_bytes()),
            url: Some(format!("https://files.example/{name}-{version}-py3-none-any.whl")),
            built_from: None,
        };
        LockedSdist {
            name: name.into(),
            version: Some("1.0".parse().unwrap()),
            sha256: Some(Sha256::of(content.as_bytes())),
            tree: None,
            commit: None,
            builds: None,
            url: None,
            python: environment().python,
            target: environment().target,
            requirements: vec![requirement("wheel", "0.45"), requirement("setuptools", "80.1")],
        }
    }

    #[test]
    fn a_lock_is_sorted_stable_and_round_trips() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("crosswheel.lock");
        let mut lock = Lock::empty();
        lock.update(vec![sdist("b", "b"), sdist("a", "a")]);
        let mut other = Lock::empty();
        other.update(vec![sdist("a", "a")]);
        other.update(vec![sdist("b", "old")]);
        other.update(vec![sdist("b", "b")]);
        assert_eq!(lock.to_text(), other.to_text());
        fs_err::write(&path, lock.to_text()).unwrap();
        assert_eq!(Lock::read(&path).unwrap().unwrap(), lock);
        insta::assert_snapshot!(lock.to_text());
    }

    #[test]
    fn each_kind_of_drift_is_told_apart() {
        let mut lock = Lock::empty();
        lock.update(vec![sdist("a", "a")]);
        let version = "1.0".parse().unwrap();
        let message = |content: &str, name: &str, environment: &LockEnvironment| {
            let failure =
                lock.entry(Sha256::of(content.as_bytes()), name, Some(&version), environment).unwrap_err();
            assert_eq!(failure.class, FailureClass::LockDrift);
            failure.message
        };
        assert!(message("changed", "a", &environment()).starts_with("the sdist of a 1.0 has sha256 "));
        assert_eq!(message("c", "c", &environment()), "the lock has no entry for c 1.0");
        let other = LockEnvironment { python: "3.11".into(), ..environment() };
        assert!(message("a", "a", &other).contains("not for Python 3.11 on linux_amd64"));
        let entry = lock.entry(Sha256::of(b"a"), "a", Some(&version), &environment()).unwrap();
        let check = |text: &str| entry.check(&[text.parse().unwrap()]);
        check("setuptools>=70").unwrap();
        assert!(check("setuptools>=81").unwrap_err().message.contains("the lock has setuptools 80.1"));
        assert!(check("cython").unwrap_err().message.contains("which the lock does not have"));
    }

    #[test]
    fn a_file_that_is_no_lock_is_refused_and_a_missing_one_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock.toml");
        assert_eq!(Lock::read(&path).unwrap(), None);
        for text in ["version = 2", "version = 1\nextra = 1", "[", "version = 1\n[[sdist]]\nname = 'a'"] {
            fs_err::write(&path, text).unwrap();
            assert!(Lock::read(&path).is_err(), "{text}");
        }
    }
}
