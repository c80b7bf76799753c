//! `wheelhouse.json`: what is in a wheelhouse, and how it came there. Knows nothing of how that is done.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::contract::{CheckReport, Failure, FailureClass, Report};
use crate::digest::Sha256;
use crate::platform::{Glibc, Target};
use crate::scratch::file::{self, FileAccess};

/// The name of the file.
pub const RECORD: &str = "wheelhouse.json";

const FORMAT: u32 = 1;

/// The contents of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WheelhouseRecord {
    format: u32,
    /// The release that wrote it.
    pub crosswheel: String,
    /// What is there for each target and Python.
    pub targets: Vec<TargetRecord>,
}

/// What is there for a target and a Python.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TargetRecord {
    /// The platform.
    pub target: Target,
    /// `3.11`, or `3.13t` if it is free-threaded.
    pub python: String,
    /// `python_full_version` of the Python it was planned for.
    pub python_version: String,
    /// The newest glibc that wheels were allowed to need.
    pub glibc: Option<Glibc>,
    /// The name of the requirements file; none if there never was all that has to be installed.
    pub requirements: Option<String>,
    /// Whether all that has to be installed is there; else the requirements file is that of a time when it was.
    pub complete: bool,
    /// The check that found nothing wrong, if there was one.
    pub check: Option<CheckRecord>,
    /// The wheels, in the order of the plan.
    pub wheels: Vec<WheelRecord>,
}

/// A check that found nothing wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckRecord {
    /// What it found.
    pub report: CheckReport,
    /// Changes with what would make it another check.
    pub key: Sha256,
}

/// A wheel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WheelRecord {
    /// Normalised project name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The name of the wheel, in the directory of this file.
    pub file_name: String,
    /// SHA-256 of the wheel.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// How it came there.
    pub how: HowMade,
    /// From what.
    pub origin: OriginRecord,
    /// Why from that, in a few words.
    pub reason: String,
    /// The target it was built for, if that is another one.
    pub shared_from: Option<Target>,
    /// The worker that built it, as the executor names it.
    pub worker: Option<String>,
    /// Newest `GLIBC_x.y` symbol version any ELF file inside needs; none when pure or static.
    pub glibc_floor: Option<Glibc>,
    /// Libraries that are neither in the wheel nor of glibc: the machine it is installed on has to have them.
    pub foreign_libraries: Vec<String>,
    /// The report of the step that built it.
    pub report: Option<Report>,
    /// Changes with what would make it another wheel.
    pub key: Sha256,
}

/// How a wheel came there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HowMade {
    /// It was there to be fetched.
    Fetched,
    /// It was built.
    Built,
}

/// From what a wheel came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginRecord {
    /// What that is.
    pub kind: OriginKind,
    /// Its URL, or a path; without a login.
    pub place: String,
    /// SHA-256 of the file, or of the sdist that the tree was made into.
    pub sha256: Option<Sha256>,
    /// The commit that a repository was at.
    #[serde(default)]
    pub commit: Option<String>,
}

/// What a wheel came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OriginKind {
    /// A wheel.
    Wheel,
    /// An sdist.
    Sdist,
    /// A directory, or a commit of a repository.
    Tree,
}

impl WheelhouseRecord {
    /// Of nothing.
    pub fn empty() -> Self {
        Self { format: FORMAT, crosswheel: env!("CARGO_PKG_VERSION").to_owned(), targets: Vec::new() }
    }

    /// That of the wheelhouse in `directory`; an empty one if there is none.
    ///
    /// # Errors
    /// A file of that name that is none, or of a format of the future.
    pub fn read(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join(RECORD);
        let bytes = match fs_err::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::empty()),
            Err(error) => return Err(error.into()),
        };
        let refuse = |reason: String| {
            let message = format!("{} is not the record of a wheelhouse: {reason}", path.display());
            Failure::new(FailureClass::InvalidSource, message)
                .with_hint("give another directory with --out, or remove that file")
        };
        let record: Self = serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))?;
        if record.format != FORMAT {
            return Err(refuse(format!("it has format {}; this crosswheel knows {FORMAT}", record.format)));
        }
        Ok(record)
    }

    /// Writes it, whole or not at all, if it is not what is there already.
    pub fn write(&self, directory: &Path) -> std::io::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        write_if_changed(&directory.join(RECORD), &bytes)
    }

    /// What is there for `target` and `python`.
    pub fn target(&self, target: Target, python: &str) -> Option<&TargetRecord> {
        self.targets.iter().find(|record| record.target == target && record.python == python)
    }

    /// Puts `record` in the place of the one for the same target and Python.
    pub fn put(&mut self, record: TargetRecord) {
        self.targets.retain(|other| (other.target, &other.python) != (record.target, &record.python));
        self.targets.push(record);
        self.targets.sort_by(|a, b| (a.target, &a.python).cmp(&(b.target, &b.python)));
        env!("CARGO_PKG_VERSION").clone_into(&mut self.crosswheel);
    }

    /// The name of the requirements file for `target` and `python`: without the Python, unless another Python has that.
    pub fn requirements_name(&self, target: Target, python: &str) -> String {
        let known = self.target(target, python).and_then(|record| record.requirements.clone());
        let plain = format!("requirements-{target}.txt");
        let is_taken = self
            .targets
            .iter()
            .any(|record| record.python != python && record.requirements.as_deref() == Some(plain.as_str()));
        match known {
            Some(known) => known,
            None if is_taken => format!("requirements-{target}-py{python}.txt"),
            None => plain,
        }
    }
}

/// Writes `bytes` to `path`, whole or not at all, if that is not what is there already.
pub(super) fn write_if_changed(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if fs_err::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    file::write(path, bytes, FileAccess::Umask)
}

impl WheelRecord {
    /// Where the wheel is if the wheelhouse is in `directory`.
    pub fn path(&self, directory: &Path) -> PathBuf {
        directory.join(&self.file_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(target: &str, python: &str, requirements: Option<&str>) -> TargetRecord {
        TargetRecord {
            target: target.parse().unwrap(),
            python: python.into(),
            python_version: format!("{python}.1"),
            glibc: None,
            complete: requirements.is_some(),
            check: None,
            requirements: requirements.map(str::to_owned),
            wheels: Vec::new(),
        }
    }

    #[test]
    fn each_python_of_a_target_has_a_requirements_file_of_its_own() {
        let target = "linux_arm64".parse().unwrap();
        let mut there = WheelhouseRecord::empty();
        assert_eq!(there.requirements_name(target, "3.11"), "requirements-linux_arm64.txt");
        there.put(record("linux_arm64", "3.11", Some("requirements-linux_arm64.txt")));
        assert_eq!(there.requirements_name(target, "3.11"), "requirements-linux_arm64.txt");
        assert_eq!(there.requirements_name(target, "3.12"), "requirements-linux_arm64-py3.12.txt");
        let other = "linux_amd64".parse().unwrap();
        assert_eq!(there.requirements_name(other, "3.12"), "requirements-linux_amd64.txt");
        there.put(record("linux_arm64", "3.12", Some("requirements-linux_arm64-py3.12.txt")));
        there.put(record("linux_arm64", "3.11", None));
        assert_eq!(there.requirements_name(target, "3.12"), "requirements-linux_arm64-py3.12.txt");
        assert_eq!(there.targets.len(), 2);
    }

    #[test]
    fn a_record_round_trips_and_what_is_none_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert!(WheelhouseRecord::read(directory.path()).unwrap().targets.is_empty());
        let mut there = WheelhouseRecord::empty();
        there.put(record("linux_arm64", "3.11", Some("requirements-linux_arm64.txt")));
        there.write(directory.path()).unwrap();
        let read = WheelhouseRecord::read(directory.path()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::to_value(&there).unwrap());
        for text in ["", "{}", "{\"format\": 2, \"crosswheel\": \"\", \"targets\": []}"] {
            fs_err::write(directory.path().join(RECORD), text).unwrap();
            let failure = WheelhouseRecord::read(directory.path()).unwrap_err();
            assert_eq!(failure.class, FailureClass::InvalidSource, "{text}");
        }
    }
}
