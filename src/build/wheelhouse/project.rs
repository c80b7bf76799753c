//! A project that is locked, as input of a wheelhouse: its lock says what has to be installed, and its settings how that
//! is built. Knows nothing of what is fetched or built.

use std::path::Path;

use pep508_rs::PackageName;

use super::lock_files::{distribution, preferences};
use super::package_settings::{ExtraRequirement, OfPackage, PackageSettings};
use super::planned::{DistributionOrigin, PlannedTarget, TargetPlan};
use super::request::FileFlags;
use super::target_python::TargetPython;
use crate::build::customisation::Customisation;
use crate::build::options::BuildOptions;
use crate::build::settings::index_settings::ProjectIndexes;
use crate::build::settings::layer::SettingsLayer;
use crate::contract::{Failure, FailureClass, KeyValue};
use crate::lock::{ConfigSettings, Configuration, FilePreferences, Project, ProjectIndex, Selection};
use crate::platform::Target;

/// The lock of what projects are built with, beside their uv.lock.
const LOCK: &str = "crosswheel.lock";

/// A project, and what of it has to be installed.
pub(super) struct LockedProject {
    project: Project,
    configuration: Configuration,
    preferences: FilePreferences,
}

impl LockedProject {
    /// Reads the project in `directory`.
    pub(super) fn open(directory: &Path, selection: &Selection, files: &FileFlags) -> Result<Self, Failure> {
        let project = Project::open(directory)?;
        let configuration = project.configuration(selection)?;
        let preferences = preferences(files).or(&FilePreferences::of(project.settings()));
        Ok(Self { project, configuration, preferences })
    }

    /// Adds to `options` what the project says for all builds.
    pub(super) fn add_to(&self, options: &mut BuildOptions) {
        let root = self.project.root_directory();
        options.lock.get_or_insert_with(|| root.join(LOCK));
        let settings = self.project.settings();
        let mut layer = SettingsLayer {
            default_index: settings.index_url.clone(),
            extra_indexes: Vec::new(),
            find_links: settings.find_links.iter().map(|place| absolute(root, place)).collect(),
            no_index: settings.no_index.then_some(true),
            exclude_newer: settings.exclude_newer.clone(),
            ..SettingsLayer::default()
        };
        let mut explicit = Vec::new();
        for index in &settings.indexes {
            let text = named(root, index);
            match (index.explicit, index.flat, index.default) {
                (true, _, _) => explicit.push(text),
                (false, true, _) => layer.find_links.push(absolute(root, &index.url)),
                (false, false, true) => layer.default_index = Some(text),
                (false, false, false) => layer.extra_indexes.push(text),
            }
        }
        layer.extra_indexes.extend(settings.extra_index_urls.iter().map(|place| absolute(root, place)));
        let constraints = &self.project.lock().manifest().build_constraints;
        let build_constraints = constraints.iter().map(ToString::to_string).collect();
        options.index.project = ProjectIndexes { layer, explicit, build_constraints };
    }

    /// What has to be installed on `target`, where `python` is.
    pub(super) fn plan(&self, target: Target, python: TargetPython) -> Result<TargetPlan, Failure> {
        let closure = self.project.closure(&self.configuration, &python.markers)?;
        let plan = self.project.plan(&closure, &python.tags, &self.preferences)?;
        let root = self.project.root_directory();
        let distributions = plan.packages.iter().map(|package| distribution(root, package));
        Ok(TargetPlan {
            target,
            python: python.facts,
            distributions: distributions.collect::<Result<_, _>>()?,
            lines: plan.lines().collect(),
        })
    }

    /// How each package is built, if all are built as `common` says, and what somebody should know of it.
    pub(super) fn package_settings(
        &self,
        common: &Customisation,
        targets: &[PlannedTarget],
    ) -> Result<(PackageSettings, Vec<String>), Failure> {
        let settings = self.project.settings();
        let mut found = PackageSettings {
            common: common.clone(),
            all_pinned: settings.no_build_isolation,
            ..PackageSettings::default()
        };
        found.common.config_settings.extend(key_values(&settings.config_settings)?);
        for (name, requirements) in &settings.extra_build_dependencies {
            let of = of_package(&mut found, name);
            of.extra_requirements.extend(requirements.iter().map(|extra| ExtraRequirement {
                text: extra.requirement.to_string(),
                matches: extra.match_runtime.then(|| extra.requirement.name.clone()),
            }));
        }
        for (name, variables) in &settings.extra_build_variables {
            let variables = variables.iter().map(|(key, value)| key_value(key, value));
            of_package(&mut found, name).env.extend(variables.collect::<Result<Vec<_>, _>>()?);
        }
        for (name, values) in &settings.config_settings_packages {
            of_package(&mut found, name).config_settings.extend(key_values(values)?);
        }
        for name in &settings.no_build_isolation_packages {
            of_package(&mut found, name).pinned = true;
        }
        let notes = pinned_notes(&found, targets);
        Ok((found, notes))
    }
}

/// What is said of packages that are built with versions that uv would have built them beside.
fn pinned_notes(settings: &PackageSettings, targets: &[PlannedTarget]) -> Vec<String> {
    let plans = targets.iter().filter_map(|target| target.plan.as_ref().ok());
    let built = plans.flat_map(|plan| &plan.distributions).filter(|planned| {
        !matches!(planned.origin, DistributionOrigin::Wheel(_)) && settings.is_pinned(&planned.name)
    });
    let mut names: Vec<String> = built.map(|planned| planned.name.to_string()).collect();
    names.sort();
    names.dedup();
    match names.as_slice() {
        [] => Vec::new(),
        names => vec![format!(
            "no-build-isolation: {}: built in isolation all the same, with build requirements in the versions that are installed",
            names.join(", ")
        )],
    }
}

fn of_package<'a>(settings: &'a mut PackageSettings, name: &PackageName) -> &'a mut OfPackage {
    settings.packages.entry(name.clone()).or_default()
}

fn key_values(settings: &ConfigSettings) -> Result<Vec<KeyValue>, Failure> {
    let pairs = settings.iter().flat_map(|(key, values)| values.iter().map(move |value| (key, value)));
    pairs.map(|(key, value)| key_value(key, value)).collect()
}

fn key_value(key: &str, value: &str) -> Result<KeyValue, Failure> {
    format!("{key}={value}").parse().map_err(|_| {
        let message = format!("[tool.uv]: `{key}` cannot be a key of a setting or the name of a variable");
        Failure::new(FailureClass::InvalidSource, message)
    })
}

/// uv's `name=URL`, if it has a name.
fn named(root: &Path, index: &ProjectIndex) -> String {
    let url = absolute(root, &index.url);
    index.name.as_ref().map_or_else(|| url.clone(), |name| format!("{name}={url}"))
}

/// A URL as it is; a path from the project's root.
fn absolute(root: &Path, place: &str) -> String {
    if place.contains("://") { place.to_owned() } else { root.join(place).display().to_string() }
}
