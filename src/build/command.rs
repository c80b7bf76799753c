//! The whole of `crosswheel build`: each source is fetched once and built for each target, several sources at a time.
//! Knows nothing of the command line or of how results are printed.

use std::path::Path;
use std::time::Instant;

use parking_lot::Mutex;
use pep440_rs::Version;
use pep508_rs::PackageName;

use super::builder::Builder;
use super::builders::Builders;
use super::index::credentials::redact_urls;
use super::inputs::requested::RequestedSource;
use super::inputs::requirements_file::{RequestedSet, SourceInput};
use super::inputs::sdists::Sdist;
use super::inputs::source::Source;
use super::options::BuildOptions;
use super::progress::Task;
use super::resolve::lock::LockedSdist;
use super::results::{BuildSummary, SourceResult};
use super::run::{Run, RunMode};
use super::shared_builds::{Delivered, SharedBuilds};
use super::side_by_side::side_by_side;
use super::steps::executor::ConnectExecutor;
use crate::contract::{Failure, FailureClass, Report};

/// Builds every source for every target on the executor that `connect` reaches. `on_result` is called as each ends,
/// in whatever order that is. An error is one that keeps all of them from being built.
pub fn build(
    sources: &[String],
    mut options: BuildOptions,
    connect: ConnectExecutor,
    on_result: impl Fn(&SourceResult) + Sync,
) -> Result<BuildSummary, Failure> {
    let mut set = RequestedSet::read(&options.requirements, Path::new(""))?;
    options.index.layer.append(std::mem::take(&mut set.layer));
    let sources = set.inputs(sources)?;
    let (run, destinations) = Run::new(options, RunMode::Build, connect)?;
    let builders = Builders::new(run, destinations);
    let run = &*builders.run;
    let results: Vec<Mutex<Vec<Ended>>> = sources.iter().map(|_| Mutex::default()).collect();
    side_by_side(&sources, run.options.jobs, |index, input| {
        let mut source = SourceBuild { input, sdists: Vec::new(), builds: SharedBuilds::new(&builders) };
        *results[index].lock() = source.build(|result| run.progress.suspend(|| on_result(result)));
    });
    let ended = results.into_iter().flat_map(Mutex::into_inner);
    let (results, locks): (Vec<_>, Vec<_>) = ended.unzip();
    let complete = results.iter().all(|result| result.failure.is_none());
    let lock_failure = if complete { run.write_lock(locks.concat()).err() } else { None };
    Ok(BuildSummary { results, lock_failure, interrupted: run.interrupt.exit_code() })
}

/// What became of a source for a target, and what goes into the lock file for it.
type Ended = (SourceResult, Vec<LockedSdist>);

/// A source on its way through the targets.
struct SourceBuild<'a> {
    input: &'a SourceInput,
    /// Fetched once, for the first target; if the version is chosen, then once for each version of Python.
    sdists: Vec<(Source, Option<Version>, Acquired)>,
    builds: SharedBuilds<'a>,
}

impl SourceBuild<'_> {
    /// Builds it for every target; the results are in the order of the targets.
    fn build(&mut self, on_result: impl Fn(&SourceResult)) -> Vec<Ended> {
        let mut ended: Vec<(usize, Ended)> = Vec::new();
        for index in self.builds.builders.order() {
            let of_target = self.build_for(index);
            on_result(&of_target.0);
            ended.push((index, of_target));
        }
        ended.sort_by_key(|(index, _)| *index);
        ended.into_iter().map(|(_, ended)| ended).collect()
    }

    fn build_for(&mut self, index: usize) -> Ended {
        let start = Instant::now();
        let target = self.builds.builders.destinations[index].target;
        match self.try_build_for(index) {
            Ok(None) => {
                let seconds = start.elapsed().as_secs_f64();
                (SourceResult::skipped(&self.input.text, target, seconds), Vec::new())
            }
            Ok(Some(delivered)) => {
                let result = SourceResult {
                    source: redact_urls(&self.input.text),
                    target,
                    status: delivered.status,
                    wheel: Some(delivered.wheel),
                    report: Some(delivered.report),
                    shared_from: delivered.shared_from,
                    failure: None,
                    seconds: start.elapsed().as_secs_f64(),
                    replaced: delivered.replaced,
                };
                (result, delivered.locks)
            }
            Err(failure) => {
                let failure = self.builds.builders.run.redacted(failure);
                let seconds = start.elapsed().as_secs_f64();
                (SourceResult::failed(&self.input.text, target, failure, seconds), Vec::new())
            }
        }
    }

    /// None if the source is not wanted for that target.
    fn try_build_for(&mut self, index: usize) -> Result<Option<Delivered>, Failure> {
        let builders = self.builds.builders;
        let run = &*builders.run;
        run.interrupt.check()?;
        let task = run.progress.task(self.label(index));
        let requested = self.input.requested.as_ref().map_err(Clone::clone)?;
        let builder = builders.builder(index, &task)?;
        let markers = &builder.interpreter.markers;
        if !requested.applies(markers) {
            return Ok(None);
        }
        let requested = &requested.bounded_by(&self.input.constraints, markers)?;
        let (source, sdist) = self.sdist(requested, builder, &task)?;
        let check = |report: &Report| check_identity(&source, requested.name.as_ref(), report);
        self.builds.deliver(index, &sdist, &run.customisation, check, &task).map(Some)
    }

    /// The sdist for what builds with `builder`.
    fn sdist(
        &mut self,
        requested: &RequestedSource,
        builder: &Builder,
        task: &Task,
    ) -> Result<(Source, Sdist), Failure> {
        let python = &builder.interpreter.markers.python_full_version().version;
        let of = matches!(requested.source, Source::Newest { .. }).then(|| python.clone());
        let is_same = |(source, python, _): &&(Source, Option<Version>, _)| {
            *source == requested.source && *python == of
        };
        if let Some((_, _, known)) = self.sdists.iter().find(is_same) {
            return known.clone();
        }
        let sdist = builder.acquire_requested(requested, task);
        self.sdists.push((requested.source.clone(), of, sdist.clone()));
        sdist
    }

    /// What the source is called while it is built.
    fn label(&self, index: usize) -> String {
        let shown = redact_urls(&self.input.text);
        let shown = shown.split('#').next().unwrap_or(&shown);
        self.builds.builders.label(shown.rsplit('/').next().unwrap_or(shown), index)
    }
}

/// Fails if a project or a version of it was asked for and something else came out: an sdist without PKG-INFO does
/// not tell the step what to expect.
fn check_identity(source: &Source, name: Option<&PackageName>, report: &Report) -> Result<(), Failure> {
    let version = match source {
        Source::Pinned { version, .. } => Some(version),
        _ => None,
    };
    let is_named = name.is_none_or(|name| report.name.parse().is_ok_and(|found: PackageName| found == *name));
    let is_version =
        version.is_none_or(|version| report.version.parse().is_ok_and(|found: Version| found == *version));
    if is_named && is_version {
        return Ok(());
    }
    let name = name.map(ToString::to_string).unwrap_or_default();
    let (wanted, hint) = match version {
        Some(version) => (
            format!("{name}=={version}"),
            "the index has the wrong sdist under this name, or its setup.py computes another version",
        ),
        None => (name, "the source is that of another project, or the name before the `@` is not its name"),
    };
    let message = format!("{wanted} was asked for, and its sdist built {}", report.file_name);
    Err(Failure::new(FailureClass::WheelRefused, message).with_hint(hint))
}
