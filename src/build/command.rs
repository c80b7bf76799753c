//! The whole of `crosswheel build`: each source is fetched once and built for each target, several sources at a time.
//! Knows nothing of the command line or of how results are printed.

use std::time::Instant;

use parking_lot::Mutex;
use pep440_rs::Version;
use pep508_rs::PackageName;

use super::builders::Builders;
use super::index::credentials::redact_urls;
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
    options: BuildOptions,
    connect: ConnectExecutor,
    on_result: impl Fn(&SourceResult) + Sync,
) -> Result<BuildSummary, Failure> {
    let (run, destinations) = Run::new(options, RunMode::Build, connect)?;
    let builders = Builders::new(run, destinations);
    let run = &*builders.run;
    let results: Vec<Mutex<Vec<Ended>>> = sources.iter().map(|_| Mutex::default()).collect();
    side_by_side(sources, run.options.jobs, |index, source| {
        let mut source = SourceBuild { text: source, sdist: None, builds: SharedBuilds::new(&builders) };
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
    text: &'a str,
    /// Fetched for the first target.
    sdist: Option<Result<(Source, Sdist), Failure>>,
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
            Ok(delivered) => {
                let result = SourceResult {
                    source: redact_urls(self.text),
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
                (SourceResult::failed(self.text, target, failure, seconds), Vec::new())
            }
        }
    }

    fn try_build_for(&mut self, index: usize) -> Result<Delivered, Failure> {
        let run = &*self.builds.builders.run;
        run.interrupt.check()?;
        let task = run.progress.task(self.label(index));
        let (source, sdist) = self.sdist(&task)?;
        let check = |report: &Report| check_identity(&source, report);
        self.builds.deliver(index, &sdist, &run.customisation, check, &task)
    }

    /// The sdist, fetched once for all targets.
    fn sdist(&mut self, task: &Task) -> Result<(Source, Sdist), Failure> {
        let (run, text) = (&self.builds.builders.run, self.text);
        let acquire = || {
            let source = Source::parse(text)?;
            let sdist = run.acquire(source.clone(), task)?;
            Ok((source, sdist))
        };
        self.sdist.get_or_insert_with(acquire).clone()
    }

    /// What the source is called while it is built.
    fn label(&self, index: usize) -> String {
        let shown = redact_urls(self.text);
        let shown = shown.split('#').next().unwrap_or(&shown);
        self.builds.builders.label(shown.rsplit('/').next().unwrap_or(shown), index)
    }
}

/// Fails if `name==version` was asked for and something else came out: an sdist without PKG-INFO does not
/// tell the step what to expect.
fn check_identity(source: &Source, report: &Report) -> Result<(), Failure> {
    let Source::Pinned { name, version } = source else { return Ok(()) };
    let same = report.name.parse().is_ok_and(|found: PackageName| found == *name)
        && report.version.parse().is_ok_and(|found: Version| found == *version);
    if same {
        return Ok(());
    }
    let message = format!("{name}=={version} was asked for, and its sdist built {}", report.file_name);
    Err(Failure::new(FailureClass::WheelRefused, message)
        .with_hint("the index has the wrong sdist under this name, or its setup.py computes another version"))
}
