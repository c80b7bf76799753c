//! How each package of a wheelhouse is built: what flags say for all, and what the project says for some. Knows nothing
//! of where the project says it.

use std::collections::BTreeMap;

use pep440_rs::Version;
use pep508_rs::PackageName;

use super::planned::TargetPlan;
use crate::build::customisation::Customisation;
use crate::contract::KeyValue;

/// How each package is built.
#[derive(Clone, Debug, Default)]
pub(super) struct PackageSettings {
    /// For all of them.
    pub(super) common: Customisation,
    /// For some of them.
    pub(super) packages: BTreeMap<PackageName, OfPackage>,
    /// Whether every package is built with the versions that are installed beside it.
    pub(super) all_pinned: bool,
}

/// How a package is built.
#[derive(Clone, Debug, Default)]
pub(super) struct OfPackage {
    /// What it is built with beside what it asks for.
    pub(super) extra_requirements: Vec<ExtraRequirement>,
    /// For the backend's environment.
    pub(super) env: Vec<KeyValue>,
    /// For the backend's `config_settings`.
    pub(super) config_settings: Vec<KeyValue>,
    /// Whether what it is built with has the versions that are installed beside it, as it would without build
    /// isolation.
    pub(super) pinned: bool,
}

/// What a package is built with beside what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExtraRequirement {
    /// PEP 508.
    pub(super) text: String,
    /// If it is to have the version that is installed: of which package.
    pub(super) matches: Option<PackageName>,
}

impl PackageSettings {
    /// How `name` is built where everything in `plan` is installed.
    pub(super) fn of(&self, name: &PackageName, plan: &TargetPlan) -> Customisation {
        let mut custom = self.common.clone();
        let own = self.packages.get(name);
        for requirement in own.into_iter().flat_map(|own| &own.extra_requirements) {
            custom.build_requires.push(requirement.text.clone());
            let version = requirement.matches.as_ref().and_then(|name| version_of(plan, name));
            custom.pins.extend(requirement.matches.clone().zip(version));
        }
        custom.env.extend(own.into_iter().flat_map(|own| own.env.iter().cloned()));
        custom.config_settings.extend(own.into_iter().flat_map(|own| own.config_settings.iter().cloned()));
        if self.is_pinned(name) {
            let pin = |other: &super::planned::PlannedDistribution| {
                (other.name != *name).then(|| Some((other.name.clone(), other.version.clone()?)))?
            };
            custom.pins.extend(plan.distributions.iter().filter_map(pin));
        }
        custom
    }

    /// Whether `name` is built with the versions that are installed beside it.
    pub(super) fn is_pinned(&self, name: &PackageName) -> bool {
        self.all_pinned || self.packages.get(name).is_some_and(|own| own.pinned)
    }
}

fn version_of(plan: &TargetPlan, name: &PackageName) -> Option<Version> {
    plan.distributions.iter().find(|other| other.name == *name)?.version.clone()
}
