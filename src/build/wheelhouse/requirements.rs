//! Requirements, of a command line or of files, as input of a wheelhouse: what they are resolved to on each target has to be
//! installed. Knows nothing of how that is resolved, fetched or built.

use std::path::{Path, PathBuf};

use super::planned::{DistributionOrigin, PlannedDistribution, PlannedFile, TargetPlan};
use super::request::{FileFlags, PackageSet};
use super::target_python::TargetPython;
use crate::build::builder::Builder;
use crate::build::inputs::requirements_file::RequestedSet;
use crate::build::options::BuildOptions;
use crate::build::progress::Task;
use crate::build::resolve::installation::{ResolvedDistribution, ResolvedFile, ResolvedOrigin};
use crate::contract::{Failure, FailureClass};

/// Requirements, and what the files that have them say beside.
pub(super) struct RequestedRequirements {
    set: RequestedSet,
}

impl RequestedRequirements {
    /// Reads `requirements` and `files`; what `flags` say of wheels comes after what the files say.
    pub(super) fn read(
        requirements: &[String],
        files: &[PathBuf],
        flags: &FileFlags,
    ) -> Result<Self, Failure> {
        let mut set = RequestedSet::read(files, Path::new(""))?;
        set.ask(requirements)?;
        let invalid = |problem| Failure::new(FailureClass::InvalidSource, problem);
        for text in flag_texts(&flags.no_binary) {
            set.policy.refuse_wheels(&text).map_err(invalid)?;
        }
        for text in flag_texts(&flags.only_binary) {
            set.policy.refuse_sdists(&text).map_err(invalid)?;
        }
        Ok(Self { set })
    }

    /// Adds to `options` where the files say that packages come from: flags win over them.
    pub(super) fn add_to(&self, options: &mut BuildOptions) {
        options.index.layer.append(self.set.layer.clone());
    }

    /// What has to be installed where `builder` builds.
    pub(super) fn plan(
        &self,
        builder: &Builder,
        python: TargetPython,
        task: &Task,
    ) -> Result<TargetPlan, Failure> {
        let resolved = builder.resolve_for_installation(&self.set, task)?;
        let mut lines: Vec<String> = resolved.iter().map(line).collect();
        lines.sort();
        Ok(TargetPlan {
            target: builder.target,
            python: python.facts,
            distributions: resolved.into_iter().map(planned).collect(),
            lines,
        })
    }
}

/// `:all:` comes first: names win over it.
fn flag_texts(set: &PackageSet) -> impl Iterator<Item = String> {
    let all = set.all.then(|| ":all:".to_owned());
    all.into_iter().chain(set.names.iter().map(ToString::to_string))
}

fn line(resolved: &ResolvedDistribution) -> String {
    let ResolvedDistribution { name, version, origin, .. } = resolved;
    match origin {
        ResolvedOrigin::Wheel(file) | ResolvedOrigin::Sdist(file) => {
            format!("{name}=={version} {}", file.file_name)
        }
        ResolvedOrigin::Tree(source) => {
            format!("{name}=={version} {}", DistributionOrigin::Tree(source.clone()).shown_place())
        }
    }
}

fn planned(resolved: ResolvedDistribution) -> PlannedDistribution {
    let origin = match resolved.origin {
        ResolvedOrigin::Wheel(file) => DistributionOrigin::Wheel(planned_file(file)),
        ResolvedOrigin::Sdist(file) => DistributionOrigin::Sdist(planned_file(file)),
        ResolvedOrigin::Tree(source) => DistributionOrigin::Tree(source),
    };
    PlannedDistribution {
        name: resolved.name,
        version: Some(resolved.version),
        origin,
        reason: resolved.reason,
    }
}

fn planned_file(file: ResolvedFile) -> PlannedFile {
    let ResolvedFile { file_name, url: place, sha256, size } = file;
    PlannedFile { file_name, place, sha256, other_hash: None, size }
}
