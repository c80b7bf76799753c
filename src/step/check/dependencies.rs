//! What installed wheels require and do not find, as `pip check` looks for it: their own requirements, as far as markers
//! say that they apply, without extras. For where pip itself cannot be had.

use std::collections::HashMap;

use pep508_rs::{PackageName, Requirement, VersionOrUrl};

use super::installation::problem;
use crate::contract::{CheckProblem, ProblemKind};
use crate::packaging::interpreter::Interpreter;
use crate::step::venv::unpacked_wheel::UnpackedWheel;

/// Who looks here, in reports.
pub(super) const OURSELVES: &str = "crosswheel";

/// What `wheels` require and is not among them, or in another version.
pub(super) fn unmet_requirements(wheels: &[UnpackedWheel], interpreter: &Interpreter) -> Vec<CheckProblem> {
    let installed: HashMap<&PackageName, &UnpackedWheel> =
        wheels.iter().map(|wheel| (wheel.name(), wheel)).collect();
    let mut problems = Vec::new();
    for wheel in wheels {
        let applies = |required: &Requirement| required.evaluate_markers(&interpreter.markers, &[]);
        for required in wheel.requires_dist(false).filter(applies) {
            let found = installed.get(&required.name);
            problems.extend(unmet(wheel, &required, found.copied()));
        }
    }
    problems
}

fn unmet(
    wheel: &UnpackedWheel,
    required: &Requirement,
    found: Option<&UnpackedWheel>,
) -> Option<CheckProblem> {
    // Markers have been looked at, and nobody asks for the extras by which others are meant.
    let shown = Requirement { marker: Default::default(), ..required.clone() };
    let Some(found) = found else {
        let message = format!("requires {shown}, which is not installed");
        return Some(problem(wheel, ProblemKind::MissingDependency, message));
    };
    match &required.version_or_url {
        // A pre-release that is installed counts as any version does, and what came of a URL may have any.
        Some(VersionOrUrl::VersionSpecifier(wanted)) if !wanted.contains(found.version()) => {
            let message = format!("requires {shown}, but {} {} is installed", found.name(), found.version());
            Some(problem(wheel, ProblemKind::Conflict, message))
        }
        _ => None,
    }
}
