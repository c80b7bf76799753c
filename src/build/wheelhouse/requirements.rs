//! Requirements, of a command line or of files, as input of a wheelhouse: what they are resolved to on each target has to be
//! installed. Knows nothing of how that is resolved, fetched or built.

use std::path::{Path, PathBuf};

use super::planned::{DistributionOrigin, PlannedDistribution, PlannedFile, TargetPlan};
use super::request::FileFlags;
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
        // Names win over `:all:`, also over that of the other flag, as they do for locks.
        if flags.no_binary.all {
            set.policy.refuse_wheels(":all:").map_err(invalid)?;
        }
        if flags.only_binary.all {
            set.policy.refuse_sdists(":all:").map_err(invalid)?;
        }
        for name in &flags.no_binary.names {
            set.policy.refuse_wheels(name.as_ref()).map_err(invalid)?;
        }
        for name in &flags.only_binary.names {
            set.policy.refuse_sdists(name.as_ref()).map_err(invalid)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::inputs::binary_policy::TakenFiles;
    use crate::build::wheelhouse::request::PackageSet;

    #[test]
    fn names_of_either_flag_win_over_all_of_the_other() {
        use TakenFiles::{Sdists, Wheels};
        let set = |text: &str| {
            let mut set = PackageSet::default();
            set.add(text).unwrap();
            set
        };
        for (no_binary, only_binary, foo, bar) in
            [("foo", ":all:", Sdists, Wheels), (":all:", "foo", Wheels, Sdists)]
        {
            let flags = FileFlags { no_binary: set(no_binary), only_binary: set(only_binary) };
            let policy = RequestedRequirements::read(&[], &[], &flags).unwrap().set.policy;
            let of = |name: &str| policy.of(&name.parse().unwrap());
            assert_eq!((of("foo"), of("bar")), (foo, bar), "{no_binary} {only_binary}");
        }
    }
}
