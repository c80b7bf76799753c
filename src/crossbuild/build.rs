//! The whole of `crosswheel build`: each source is fetched, its build requirements are resolved, its
//! step is run, its wheel is published; several sources at a time.
//! Knows nothing of the command line or of how results are printed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use pep440_rs::Version;
use pep508_rs::{PackageName, Requirement, VerbatimUrl};

use super::builder::Builder;
use super::credentials::redact_urls;
use super::executor::Connect;
use super::failure::{BuildFailure, BuildFailureClass};
use super::lock::{LockedSdist, drift};
use super::options::BuildOptions;
use super::progress::Task;
use super::requirements::{Resolution, Stack};
use super::results::{BuildSummary, SourceResult, Status};
use super::runner::Ran;
use super::sdists::Sdist;
use super::source::Source;
use super::step::{Customisation, WheelStep};
use super::wheel_cache::{Published, publish};
use crate::digest::Sha256;
use crate::sdist::report::Report;
use crate::sdist::{Failure, FailureClass};

/// Builds every source on the executor that `connect` reaches. `on_result` is called as each ends, in whatever order that is. An error is one
/// that keeps all of them from being built.
pub fn build(
    sources: &[String],
    options: BuildOptions,
    connect: Connect,
    on_result: impl Fn(&SourceResult) + Sync,
) -> Result<BuildSummary, BuildFailure> {
    let builder = Builder::new(options, connect)?;
    let results: Vec<Mutex<Option<Ended>>> = sources.iter().map(|_| Mutex::default()).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((source, slot)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            sources.get(index).zip(results.get(index))
        } {
            let ended = builder.build_source(source);
            builder.progress.suspend(|| on_result(&ended.0));
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..builder.options.jobs.clamp(1, sources.len().max(1)) {
            scope.spawn(work);
        }
        work();
    });
    let ended =
        results.into_iter().filter_map(|slot| slot.into_inner().unwrap_or_else(PoisonError::into_inner));
    let (results, locks): (Vec<_>, Vec<_>) = ended.unzip();
    let complete = results.iter().all(|result| result.failure.is_none());
    let lock_failure = if complete { builder.write_lock(locks.concat()).err() } else { None };
    Ok(BuildSummary { results, lock_failure, interrupted: builder.interrupt.exit_code() })
}

/// A wheel in the cache.
pub(super) struct Built {
    /// The wheel.
    pub(super) wheel: PathBuf,
    /// The report of its build.
    pub(super) report: Report,
    /// Whether it was there before.
    pub(super) cached: bool,
    /// Lock entries of its sdist and of those built for it.
    pub(super) locks: Vec<LockedSdist>,
}

/// What became of a source, and what goes into the lock file for it.
type Ended = (SourceResult, Vec<LockedSdist>);

impl Builder {
    fn build_source(&self, text: &str) -> Ended {
        let start = Instant::now();
        match self.try_source(text) {
            Ok((built, wheel, published)) => {
                let result = SourceResult {
                    source: redact_urls(text),
                    status: if built.cached { Status::Cached } else { Status::Built },
                    wheel: Some(wheel),
                    report: Some(built.report),
                    failure: None,
                    seconds: start.elapsed().as_secs_f64(),
                    replaced: published == Published::Replaced,
                };
                (result, built.locks)
            }
            Err(mut failure) => {
                let redact = |text: &mut String| *text = self.http.credentials().redact(text);
                redact(&mut failure.message);
                failure.evidence.iter_mut().chain(&mut failure.hint).for_each(redact);
                (SourceResult::failed(text, failure, start.elapsed().as_secs_f64()), Vec::new())
            }
        }
    }

    fn try_source(&self, text: &str) -> Result<(Built, PathBuf, Published), BuildFailure> {
        self.interrupt.check()?;
        let source = Source::parse(text)?;
        let shown = redact_urls(text);
        let label = shown.split('#').next().unwrap_or(&shown).rsplit('/').next().unwrap_or(&shown);
        let task = self.progress.task(label);
        let sdist = self.acquire(source.clone(), &task)?;
        let built = self.build_sdist(&sdist, &self.customisation, self.options.rebuild, &[&sdist], &task)?;
        self.interrupt.check()?;
        check_identity(&source, &built.report)?;
        let (out, sha256) = (&self.options.out, built.report.sha256);
        let (wheel, published) = publish(&built.wheel, sha256, out, &self.sdists, &self.interrupt)?;
        Ok((built, wheel, published))
    }

    /// Builds `sdist`, the last of `stack`, or finds its wheel in the cache. Asks the backend for more
    /// requirements as often as it has new ones.
    pub(super) fn build_sdist(
        &self,
        sdist: &Sdist,
        customisation: &Customisation,
        rebuild: bool,
        stack: &Stack,
        task: &Task,
    ) -> Result<Built, BuildFailure> {
        let mut step = WheelStep {
            sdist: &sdist.path,
            sdist_sha256: sdist.sha256,
            build_wheels: Vec::new(),
            interpreter: &self.interpreter,
            target: self.target,
            glibc: self.options.glibc,
            rust: None,
            customisation,
            sandbox: self.options.sandbox,
            timeout: self.options.timeout,
        };
        let stage = match stack {
            [_] => "building".to_owned(),
            _ => format!("building the build requirement {}", sdist.title()),
        };
        let mut learned = self.learned(step.learning_key());
        let mut from_memory = !learned.is_empty();
        let statics = self.static_requirements(sdist, customisation)?;
        let mut asked = statics.clone();
        self.add_requirements(&mut asked, &learned);
        loop {
            let resolution = match self.requirements(sdist, &asked, stack, task) {
                // What another version of the backend asked for need not be what this one does.
                Err(failure) if failure.class == BuildFailureClass::ResolutionFailed && from_memory => {
                    from_memory = false;
                    learned.clear();
                    asked.clone_from(&statics);
                    continue;
                }
                resolution => resolution?,
            };
            step.build_wheels =
                resolution.wheels.iter().map(|wheel| (wheel.path(&self.cache), wheel.sha256)).collect();
            step.rust = self.rust_inputs(sdist, &asked, customisation, task)?;
            match self.runner.run(&step, rebuild, &stage, task)? {
                Ran::Built { report, wheel, cached } => {
                    check_inputs(&step, &report)?;
                    let wheel = self.wheels.have(&report, &self.sdists, |place| {
                        Ok(self.runner.client()?.download(&wheel, place)?)
                    })?;
                    self.learn_from(&step, &learned, &report)?;
                    let locks = self.lock_entries(sdist, &resolution);
                    return Ok(Built { wheel, report: *report, cached, locks });
                }
                Ran::Failed(failure) => {
                    self.ask_for_more(&step, sdist, failure, &mut asked, &mut learned)?;
                }
            }
        }
    }

    /// Adds what the backend found missing to `asked`. A failure that is of another kind, or that has
    /// nothing new, is final.
    fn ask_for_more(
        &self,
        step: &WheelStep,
        sdist: &Sdist,
        failure: Failure,
        asked: &mut Vec<Requirement<VerbatimUrl>>,
        learned: &mut Vec<String>,
    ) -> Result<(), BuildFailure> {
        if failure.class != FailureClass::MissingBuildRequirement
            || !self.add_requirements(asked, &failure.missing_requirements)
        {
            return Err(failure.into());
        }
        if self.lock_in_use().is_some() {
            let missing = failure.missing_requirements.join(", ");
            let message = format!("{} asks for {missing}, which the lock does not have", sdist.title());
            let missing_requirements = failure.missing_requirements;
            return Err(BuildFailure { missing_requirements, ..drift(message) });
        }
        for text in failure.missing_requirements {
            if !learned.contains(&text) {
                learned.push(text);
            }
        }
        Ok(self.cache.write("learned", step.learning_key(), learned)?)
    }

    /// What the backend asked for the last time it built this. A lock rules without it.
    fn learned(&self, key: Sha256) -> Vec<String> {
        if self.lock_in_use().is_some() {
            return Vec::new();
        }
        self.cache.read("learned", key).map(|(texts, _)| texts).unwrap_or_default()
    }

    /// Remembers what the backend asked for, so that the next run need not find out by trying.
    fn learn_from(&self, step: &WheelStep, learned: &[String], report: &Report) -> Result<(), BuildFailure> {
        let mut texts = report.dynamic_requirements.clone();
        if touches_pyproject(step.customisation) {
            // Then even what pyproject.toml asks for had to be learned.
            texts.extend(learned.iter().filter(|text| !report.dynamic_requirements.contains(text)).cloned());
        }
        if texts.iter().collect::<BTreeSet<_>>() == learned.iter().collect() {
            return Ok(());
        }
        Ok(self.cache.write("learned", step.learning_key(), &texts)?)
    }

    /// Adds those of `texts` that apply here and are new; whether there were any.
    fn add_requirements(&self, asked: &mut Vec<Requirement<VerbatimUrl>>, texts: &[String]) -> bool {
        let before = asked.len();
        for requirement in texts.iter().filter_map(|text| text.parse::<Requirement<VerbatimUrl>>().ok()) {
            if requirement.evaluate_markers(&self.interpreter.markers, &[]) && !asked.contains(&requirement) {
                asked.push(requirement);
            }
        }
        asked.len() > before
    }

    /// What must be there before the backend can be asked, as far as it applies here.
    fn static_requirements(
        &self,
        sdist: &Sdist,
        customisation: &Customisation,
    ) -> Result<Vec<Requirement<VerbatimUrl>>, BuildFailure> {
        let mut asked = Vec::new();
        // What a patch makes of pyproject.toml only the step can know; it asks for what is missing.
        if !touches_pyproject(customisation) {
            self.add_requirements(&mut asked, sdist.facts.requires.as_ref().map_err(Clone::clone)?);
        }
        self.add_requirements(&mut asked, &customisation.build_requires);
        Ok(asked)
    }

    fn requirements(
        &self,
        sdist: &Sdist,
        asked: &[Requirement<VerbatimUrl>],
        stack: &Stack,
        task: &Task,
    ) -> Result<Resolution, BuildFailure> {
        let Some(lock) = self.lock_in_use() else { return self.resolve(asked, stack, task) };
        let entry = lock.entry(sdist.sha256, &sdist.name(), sdist.facts.version.as_ref(), &self.setting)?;
        entry.check(asked)?;
        self.resolve_locked(lock, entry, stack, task)
    }
}

/// Fails if `name==version` was asked for and something else came out: an sdist without PKG-INFO does not
/// tell the step what to expect.
fn check_identity(source: &Source, report: &Report) -> Result<(), BuildFailure> {
    let Source::Pinned { name, version } = source else { return Ok(()) };
    let same = report.name.parse().is_ok_and(|found: PackageName| found == *name)
        && report.version.parse().is_ok_and(|found: Version| found == *version);
    if same {
        return Ok(());
    }
    let message = format!("{name}=={version} was asked for, and its sdist built {}", report.file_name);
    Err(Failure::new(FailureClass::WheelRefused, message)
        .with_hint("the index has the wrong sdist under this name, or its setup.py computes another version")
        .into())
}

/// Fails if the step was not given what its key says: a file was changed after its digest was taken.
fn check_inputs(step: &WheelStep, report: &Report) -> Result<(), BuildFailure> {
    if report.sdist_sha256 != step.sdist_sha256 {
        return Err(changed(step.sdist));
    }
    let used: BTreeSet<Sha256> = report.build_requirements.iter().map(|wheel| wheel.sha256).collect();
    match step.build_wheels.iter().find(|(_, sha256)| !used.contains(sha256)) {
        Some((path, _)) => Err(changed(path)),
        None => Ok(()),
    }
}

fn changed(path: &Path) -> BuildFailure {
    let message = format!("{} is not the file whose hash was checked", path.display());
    BuildFailure::new(BuildFailureClass::FetchFailed, message)
        .with_hint("something changed it since; if it is in the cache, remove it there")
}

fn touches_pyproject(customisation: &Customisation) -> bool {
    customisation.patches.iter().any(|patch| patch.touches_pyproject)
}
