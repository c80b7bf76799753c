//! The files that say what is in a wheelhouse: its record, and a requirements file for each target of which everything is
//! there. Knows nothing of how the wheels came there.

use std::path::{Path, PathBuf};

use super::installer_texts::{pylock_name, pylock_text, requirements_text};
use super::planned::TargetPlan;
use super::record::{CheckRecord, TargetRecord, WheelRecord, WheelhouseRecord, write_if_changed};
use super::results::DistributionResult;
use crate::build::inputs::sdists::Sdists;
use crate::build::interrupt::Interrupt;
use crate::contract::Failure;
use crate::digest::Sha256;

/// What is written of a wheelhouse.
pub(super) struct Finishing<'a> {
    /// The wheelhouse.
    pub(super) out: &'a Path,
    /// Knows the digests of files.
    pub(super) sdists: &'a Sdists,
    pub(super) interrupt: &'a Interrupt,
    /// Whether a pylock.toml is written for each target, too.
    pub(super) pylock: bool,
}

/// The files with which others install what is there for a target.
pub(super) struct InstallerFiles {
    pub(super) requirements: PathBuf,
    pub(super) pylock: Option<PathBuf>,
}

impl Finishing<'_> {
    /// Writes that `results` have come of `plan`, and what a check found; returns the paths of the files for installers, if
    /// everything is there.
    pub(super) fn finish(
        &self,
        record: &mut WheelhouseRecord,
        plan: &TargetPlan,
        results: &[DistributionResult],
        check: Option<CheckRecord>,
    ) -> Result<Option<InstallerFiles>, Failure> {
        let wheels: Vec<&WheelRecord> = results.iter().filter_map(|result| result.record.as_ref()).collect();
        let (target, python) = (plan.target, plan.python.name.as_str());
        let complete = wheels.len() == results.len();
        let name = complete.then(|| record.requirements_name(target, python));
        // What is not complete leaves the file of a time when it was.
        let old = record.target(target, python).and_then(|record| record.requirements.clone());
        record.put(TargetRecord {
            target,
            python: python.to_owned(),
            python_version: plan.python.version.clone(),
            glibc: plan.python.glibc,
            requirements: name.clone().or(old),
            complete,
            check,
            wheels: wheels.iter().map(|wheel| (*wheel).clone()).collect(),
        });
        let Some(name) = name else { return Ok(None) };
        let text = requirements_text(&wheels, target, python);
        let requirements = self.write(&name, &text)?;
        let pylock = match self.pylock {
            true => Some(self.write(&pylock_name(&name), &pylock_text(&wheels, target, python))?),
            false => None,
        };
        Ok(Some(InstallerFiles { requirements, pylock }))
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.out.join(name);
        self.interrupt.publishing(|| write_if_changed(&path, text.as_bytes()))?;
        Ok(path)
    }

    /// Remarks on what is there of earlier runs: wheels that nobody needs any more, and requirements files of which a wheel
    /// was replaced.
    pub(super) fn leftovers(
        &self,
        record: &WheelhouseRecord,
        made: &[&TargetPlan],
    ) -> Result<Vec<String>, Failure> {
        let wheels = || record.targets.iter().flat_map(|target| &target.wheels);
        let mut unknown: Vec<String> = Vec::new();
        for entry in fs_err::read_dir(self.out)? {
            let Ok(name) = entry?.file_name().into_string() else { continue };
            if name.ends_with(".whl") && !wheels().any(|wheel| wheel.file_name == name) {
                unknown.push(name);
            }
        }
        unknown.sort();
        let mut notes = Vec::new();
        for (file, pins) in self.earlier_files(record) {
            notes.extend(self.earlier_note(&file, &pins, &mut unknown)?);
        }
        if let Some(first) = unknown.first() {
            let others = match unknown.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            notes.push(format!(
                "{first}{others} in {}: not needed by any target that was made there; nothing is removed",
                self.out.display()
            ));
        }
        let is_made = |target: &TargetRecord| {
            made.iter().any(|plan| plan.target == target.target && plan.python.name == target.python)
        };
        let (new, old): (Vec<_>, Vec<_>) = record.targets.iter().partition(|target| is_made(target));
        notes.extend(old.into_iter().filter_map(|target| replaced(target, &new)));
        Ok(notes)
    }
}

impl Finishing<'_> {
    /// The requirements files of targets of which not everything is there, of a time when it was, with what they pin.
    fn earlier_files(&self, record: &WheelhouseRecord) -> Vec<(String, Vec<Pin>)> {
        let incomplete = record.targets.iter().filter(|target| !target.complete);
        let names = incomplete.filter_map(|target| target.requirements.clone());
        let read = |name: String| Some((fs_err::read_to_string(self.out.join(&name)).ok()?, name));
        names.filter_map(read).map(|(text, name)| (name, pins(&text))).collect()
    }

    /// What is still there of what the earlier requirements file `file` pins. Takes that out of `unknown`.
    fn earlier_note(
        &self,
        file: &str,
        pins: &[Pin],
        unknown: &mut Vec<String>,
    ) -> Result<Option<String>, Failure> {
        let mut there = Vec::new();
        for entry in fs_err::read_dir(self.out)? {
            let Ok(name) = entry?.file_name().into_string() else { continue };
            // A file that cannot be read is not what is pinned.
            if name.ends_with(".whl")
                && let Ok(sha256) = self.sdists.digest(&self.out.join(&name))
            {
                there.push((name, sha256));
            }
        }
        let is_pinned = |name: &String| {
            there.iter().any(|(found, sha256)| found == name && pins.iter().any(|pin| pin.sha256 == *sha256))
        };
        unknown.retain(|name| !is_pinned(name));
        let missing: Vec<&str> = pins
            .iter()
            .filter(|pin| !there.iter().any(|(_, sha256)| *sha256 == pin.sha256))
            .map(|pin| pin.requirement.as_str())
            .collect();
        Ok(Some(match missing.is_empty() {
            true => format!(
                "{file} is that of an earlier run: the wheels that it names are still there, and not all that is wanted now"
            ),
            false => format!(
                "{file} is that of an earlier run, and cannot be installed: of what it names, {} is not there any more",
                missing.join(", ")
            ),
        }))
    }
}

/// A line of a requirements file.
struct Pin {
    /// `NAME==VERSION`
    requirement: String,
    sha256: Sha256,
}

/// What a requirements file pins that we wrote.
fn pins(text: &str) -> Vec<Pin> {
    let pin = |line: &str| {
        let (requirement, hash) = line.split_once(" --hash=sha256:")?;
        Some(Pin { requirement: requirement.to_owned(), sha256: hash.trim().parse().ok()? })
    };
    text.lines().filter_map(pin).collect()
}

/// A remark if a wheel of `target` was replaced by one for those that are `new`.
fn replaced(target: &TargetRecord, new: &[&TargetRecord]) -> Option<String> {
    let is_other = |wheel: &&WheelRecord| {
        let mut wheels = new.iter().flat_map(|other| &other.wheels);
        wheels.any(|other| other.file_name == wheel.file_name && other.sha256 != wheel.sha256)
    };
    let wheel = target.wheels.iter().find(is_other)?;
    Some(format!(
        "{} was replaced by another wheel of that name: make the wheelhouse for Python {} on {} again, or in a directory of its own",
        wheel.file_name, target.python, target.target
    ))
}
