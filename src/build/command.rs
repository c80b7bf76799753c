//! The whole of `crosswheel build`: each source is fetched once and built for each target, several sources at a time;
//! a pure wheel is built for one target and shared with the others.
//! Knows nothing of the command line or of how results are printed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::Mutex;
use pep440_rs::Version;
use pep508_rs::PackageName;

use super::builder::Builder;
use super::built::Built;
use super::index::credentials::redact_urls;
use super::inputs::requested::RequestedSource;
use super::inputs::requirements_file::{RequestedSet, SourceInput};
use super::inputs::sdists::Sdist;
use super::inputs::source::Source;
use super::options::BuildOptions;
use super::progress::Task;
use super::resolve::lock::LockedSdist;
use super::results::{BuildSummary, SourceResult, SourceStatus};
use super::run::Run;
use super::steps::executor::ConnectExecutor;
use super::targets::destination::Destination;
use super::targets::sharing::is_right_for;
use super::wheel_cache::{Published, publish};
use crate::contract::{Failure, FailureClass, Report};
use crate::platform::{Arch, Target};

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
    let (run, destinations) = Run::new(options, connect)?;
    let targets = Targets::new(run, destinations);
    let run = &*targets.run;
    let results: Vec<Mutex<Vec<Ended>>> = sources.iter().map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((source, slot)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            sources.get(index).zip(results.get(index))
        } {
            let ended = targets.build_source(source, |result| run.progress.suspend(|| on_result(result)));
            *slot.lock() = ended;
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..run.options.jobs.clamp(1, sources.len().max(1)) {
            scope.spawn(work);
        }
        work();
    });
    let ended = results.into_iter().flat_map(Mutex::into_inner);
    let (results, locks): (Vec<_>, Vec<_>) = ended.unzip();
    let complete = results.iter().all(|result| result.failure.is_none());
    let lock_failure = if complete { run.write_lock(locks.concat()).err() } else { None };
    Ok(BuildSummary { results, lock_failure, interrupted: run.interrupt.exit_code() })
}

/// What became of a source for a target, and what goes into the lock file for it.
type Ended = (SourceResult, Vec<LockedSdist>);

/// What builds for each target, made when it is first needed.
struct Targets {
    run: Arc<Run>,
    /// In the order in which they were given.
    destinations: Vec<Destination>,
    builders: Vec<OnceLock<Result<Builder, Failure>>>,
}

impl Targets {
    fn new(run: Run, destinations: Vec<Destination>) -> Self {
        let builders = destinations.iter().map(|_| OnceLock::new()).collect();
        Self { run: Arc::new(run), destinations, builders }
    }

    fn builder(&self, index: usize, task: &Task) -> Result<&Builder, Failure> {
        let make = || Builder::new(Arc::clone(&self.run), &self.destinations[index], task);
        self.builders[index].get_or_init(make).as_ref().map_err(Clone::clone)
    }

    /// The order in which a source is built: first for a platform like this machine's, where it takes least, as the
    /// others may share the wheel.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.destinations.len()).collect();
        order.sort_by_key(|index| self.destinations[*index].target.arch != Arch::host());
        order
    }

    /// Builds a source for every target; the results are in the order of the targets.
    fn build_source(&self, input: &SourceInput, on_result: impl Fn(&SourceResult)) -> Vec<Ended> {
        let mut source = SourceBuild { targets: self, input, sdists: Vec::new(), done: Vec::new() };
        let mut ended: Vec<(usize, Ended)> = Vec::new();
        for index in self.order() {
            let of_target = source.build_for(index);
            on_result(&of_target.0);
            ended.push((index, of_target));
        }
        ended.sort_by_key(|(index, _)| *index);
        ended.into_iter().map(|(_, ended)| ended).collect()
    }
}

/// The sdist that a source was found to be, and which version of it, if that had been left open.
type Acquired = Result<(Source, Sdist), Failure>;

/// A source on its way through the targets.
struct SourceBuild<'a> {
    targets: &'a Targets,
    input: &'a SourceInput,
    /// Fetched once, for the first target; if the version is chosen, then once for each version of Python.
    sdists: Vec<(Source, Option<Version>, Acquired)>,
    /// The wheels there are, with the targets that they were built for.
    done: Vec<Done>,
}

struct Done {
    target: Target,
    report: Report,
    published: PathBuf,
}

/// A wheel where the user wants it.
struct Delivered {
    status: SourceStatus,
    report: Report,
    wheel: PathBuf,
    replaced: bool,
    shared_from: Option<Target>,
    locks: Vec<LockedSdist>,
}

impl SourceBuild<'_> {
    fn build_for(&mut self, index: usize) -> Ended {
        let start = Instant::now();
        let target = self.targets.destinations[index].target;
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
            Err(mut failure) => {
                let redact = |text: &mut String| *text = self.targets.run.http.credentials().redact(text);
                redact(&mut failure.message);
                failure.evidence.iter_mut().chain(&mut failure.hint).for_each(redact);
                let seconds = start.elapsed().as_secs_f64();
                (SourceResult::failed(&self.input.text, target, failure, seconds), Vec::new())
            }
        }
    }

    /// None if the source is not wanted for that target.
    fn try_build_for(&mut self, index: usize) -> Result<Option<Delivered>, Failure> {
        let run = &*self.targets.run;
        run.interrupt.check()?;
        let task = run.progress.task(self.label(index));
        let requested = self.input.requested.as_ref().map_err(Clone::clone)?;
        let builder = self.targets.builder(index, &task)?;
        let markers = &builder.interpreter.markers;
        if !requested.applies(markers) {
            return Ok(None);
        }
        let requested = &requested.bounded_by(&self.input.constraints, markers)?;
        let (source, sdist) = self.sdist(requested, builder, &task)?;
        let writes_lock = run.lock_to_write().is_some();
        // What a patched pyproject.toml asks for only a build can tell the lock.
        let may_share = !(run.options.no_share || writes_lock && run.customisation.touches_pyproject());
        let is_right =
            |done: &&Done| may_share && is_right_for(&done.report, run.options.expect, &builder.interpreter);
        if let Some(done) = self.done.iter().find(is_right) {
            let locks = match writes_lock {
                true => builder.locks_of_shared(&sdist, &run.customisation, &done.report, &task)?,
                false => Vec::new(),
            };
            return Ok(Some(Delivered {
                status: SourceStatus::Shared,
                report: done.report.clone(),
                wheel: done.published.clone(),
                replaced: false,
                shared_from: Some(done.target),
                locks,
            }));
        }
        let built = builder.build_sdist(&sdist, &run.customisation, run.options.rebuild, &[&sdist], &task)?;
        run.interrupt.check()?;
        check_identity(&source, requested.name.as_ref(), &built.report)?;
        check_distinct(&self.done, builder.target, &built.report)?;
        let (out, sha256) = (&run.options.out, built.report.sha256);
        let (wheel, published) = publish(&built.wheel, sha256, out, &run.sdists, &run.interrupt)?;
        let Built { report, cached, locks, .. } = built;
        self.done.push(Done { target: builder.target, report: report.clone(), published: wheel.clone() });
        Ok(Some(Delivered {
            status: if cached { SourceStatus::Cached } else { SourceStatus::Built },
            report,
            wheel,
            replaced: published == Published::Replaced,
            shared_from: None,
            locks,
        }))
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
        let sdist = self.targets.run.acquire_requested(requested, python, task);
        self.sdists.push((requested.source.clone(), of, sdist.clone()));
        sdist
    }

    /// What the source is called while it is built.
    fn label(&self, index: usize) -> String {
        let shown = redact_urls(&self.input.text);
        let shown = shown.split('#').next().unwrap_or(&shown);
        let name = shown.rsplit('/').next().unwrap_or(shown);
        match &*self.targets.destinations {
            [_] => name.to_owned(),
            several => format!("{name} {}", several[index].target),
        }
    }
}

/// Fails if the wheel for `target` has the name of one that is `done` for another, and other bytes: one of the two
/// would be installed where the other belongs.
fn check_distinct(done: &[Done], target: Target, report: &Report) -> Result<(), Failure> {
    let is_other =
        |done: &&Done| done.report.file_name == report.file_name && done.report.sha256 != report.sha256;
    let Some(other) = done.iter().find(is_other) else { return Ok(()) };
    let message = format!(
        "{} for {target} is not the same as for {}, and nothing in its name tells them apart",
        report.file_name, other.target
    );
    let hint = "its build depends on the platform and says that it does not; build for one target at a time, with an --out for each";
    Err(Failure::new(FailureClass::WheelRefused, message).with_hint(hint))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::targets::sharing::tests::report;
    use crate::digest::Sha256;
    use crate::packaging::interpreter::Interpreter;

    #[test]
    fn two_wheels_of_one_name_must_be_one_wheel() {
        let report = report(&Interpreter::find("3", tempfile::tempdir().unwrap().path()).unwrap());
        let [amd64, arm64] = [Arch::Amd64, Arch::Arm64].map(|arch| Target { arch });
        let done = [Done { target: amd64, report: report.clone(), published: PathBuf::new() }];
        check_distinct(&done, arm64, &report).unwrap();
        let sha256 = Sha256::of(b"other bytes");
        let renamed = Report { file_name: "a-1-py3-none-linux_aarch64.whl".into(), sha256, ..report.clone() };
        check_distinct(&done, arm64, &renamed).unwrap();
        let failure = check_distinct(&done, arm64, &Report { sha256, ..report }).unwrap_err();
        assert_eq!(failure.class.exit_code(), 19);
        assert!(failure.message.contains("is not the same as for linux_amd64"), "{failure}");
    }
}
