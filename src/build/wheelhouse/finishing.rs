//! The files that say what is in a wheelhouse: its record, and a requirements file for each target of which everything is
//! there. Knows nothing of how the wheels came there.

use std::path::{Path, PathBuf};

use super::planned::TargetPlan;
use super::record::{TargetRecord, WheelRecord, WheelhouseRecord, write_if_changed};
use super::requirements_text::requirements_text;
use super::results::DistributionResult;
use crate::build::interrupt::Interrupt;
use crate::contract::Failure;

/// What is written of a wheelhouse.
pub(super) struct Finishing<'a> {
    /// The wheelhouse.
    pub(super) out: &'a Path,
    pub(super) interrupt: &'a Interrupt,
}

impl Finishing<'_> {
    /// Writes that `results` have come of `plan`; returns the path of the requirements file, if everything is there.
    pub(super) fn finish(
        &self,
        record: &mut WheelhouseRecord,
        plan: &TargetPlan,
        results: &[&DistributionResult],
    ) -> Result<Option<PathBuf>, Failure> {
        let wheels: Vec<&WheelRecord> = results.iter().filter_map(|result| result.record.as_ref()).collect();
        let (target, python) = (plan.target, plan.python.name.as_str());
        let complete = wheels.len() == results.len();
        let name = complete.then(|| record.requirements_name(target, python));
        // What is not complete leaves the file of a time when it was: what that names is still there.
        let old = record.target(target, python).and_then(|record| record.requirements.clone());
        record.put(TargetRecord {
            target,
            python: python.to_owned(),
            python_version: plan.python.version.clone(),
            glibc: plan.python.glibc,
            requirements: name.clone().or(old),
            complete,
            wheels: wheels.iter().map(|wheel| (*wheel).clone()).collect(),
        });
        let Some(name) = name else { return Ok(None) };
        let path = self.out.join(name);
        let text = requirements_text(wheels.into_iter(), target, python);
        self.interrupt.publishing(|| write_if_changed(&path, text.as_bytes()))?;
        Ok(Some(path))
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
