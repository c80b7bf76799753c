//! Which requirements a set of installed wheels leaves unmet, including those of the wheels themselves.
//! Decides nothing: finding wheels for what is missing is for whoever asks.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;

use pep440_rs::Version;
use pep508_rs::{ExtraName, MarkerEnvironment, PackageName, Requirement, VersionOrUrl};

use super::unpacked_wheel::UnpackedWheel;

/// A requirement no installed wheel meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmetRequirement {
    /// What is required.
    pub requirement: Requirement,
    /// Why it is not met.
    pub reason: UnmetReason,
    /// The installed project that requires it; none if it was asked for directly.
    pub required_by: Option<PackageName>,
}

/// Why a requirement is not met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnmetReason {
    /// The project is not installed.
    NotInstalled,
    /// It is installed in a version that does not do.
    WrongVersion {
        /// The installed version.
        found: Version,
    },
}

impl fmt::Display for UnmetRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.requirement)?;
        if let Some(name) = &self.required_by {
            write!(f, ", required by {name},")?;
        }
        match &self.reason {
            UnmetReason::NotInstalled => write!(f, " is not installed"),
            UnmetReason::WrongVersion { found } => write!(f, " is not met by version {found}"),
        }
    }
}

/// The requirements among `requirements`, and among what installed wheels require in turn, that
/// `installed` does not meet; in the order they are met in, each once.
///
/// Markers are evaluated for `markers`; extras are followed. A pre-release that is installed counts
/// as any version does. A requirement with a URL is met by any version of its project.
pub fn missing(
    requirements: &[Requirement],
    installed: &[UnpackedWheel],
    markers: &MarkerEnvironment,
) -> Vec<UnmetRequirement> {
    let installed: HashMap<_, _> = installed.iter().map(|wheel| (wheel.name(), wheel)).collect();
    let mut missing: Vec<UnmetRequirement> = Vec::new();
    let mut visited: HashSet<(PackageName, Option<ExtraName>)> = HashSet::new();
    let mut queue: VecDeque<(Requirement, Option<PackageName>)> = requirements
        .iter()
        .filter(|requirement| requirement.evaluate_markers(markers, &[]))
        .map(|requirement| (requirement.clone(), None))
        .collect();
    while let Some((requirement, required_by)) = queue.pop_front() {
        let wheel = match find(&requirement, &installed) {
            Ok(wheel) => wheel,
            Err(reason) => {
                if !missing.iter().any(|known| known.requirement == requirement) {
                    missing.push(UnmetRequirement { requirement, reason, required_by });
                }
                continue;
            }
        };
        let base = std::iter::once(None);
        for extra in base.chain(requirement.extras.into_iter().map(Some)) {
            if visited.insert((wheel.name().clone(), extra.clone())) {
                let active = wheel.requires_dist(extra.is_some());
                let active = active.filter(|needed| needed.evaluate_markers(markers, extra.as_slice()));
                queue.extend(active.map(|needed| (needed, Some(wheel.name().clone()))));
            }
        }
    }
    missing
}

fn find<'a>(
    requirement: &Requirement,
    installed: &HashMap<&PackageName, &'a UnpackedWheel>,
) -> Result<&'a UnpackedWheel, UnmetReason> {
    let wheel = installed.get(&requirement.name).ok_or(UnmetReason::NotInstalled)?;
    match &requirement.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(wanted)) if !wanted.contains(wheel.version()) => {
            Err(UnmetReason::WrongVersion { found: wheel.version().clone() })
        }
        _ => Ok(wheel),
    }
}
