//! One sdist for one target: its build requirements are resolved, its step is run, its wheel is kept; again with
//! what its backend found missing.
//! Knows nothing of where the sdist comes from, or of what the wheel is for.

use std::collections::BTreeSet;
use std::path::Path;

use pep440_rs::Version;
use pep508_rs::{PackageName, Requirement, VerbatimUrl};

use super::builder::Builder;
use super::built::Built;
use super::customisation::Customisation;
use super::inputs::sdists::Sdist;
use super::progress::Task;
use super::resolve::build_requirements::BuildStack;
use super::resolve::lock::{LockedSdist, drift};
use super::resolve::resolution::Resolution;
use super::steps::runner::Ran;
use super::steps::wheel_step::WheelStep;
use crate::contract::{Failure, FailureClass, Report};
use crate::digest::Sha256;
use crate::packaging::requirement_text::parse_requirement;

impl Builder {
    /// Builds `sdist`, the last of `stack`, or finds its wheel in the cache. Asks the backend for more
    /// requirements as often as it has new ones.
    pub(super) fn build_sdist(
        &self,
        sdist: &Sdist,
        customisation: &Customisation,
        rebuild: bool,
        stack: &BuildStack,
        task: &Task,
    ) -> Result<Built, Failure> {
        let mut step = self.step(&sdist.path, sdist.sha256, customisation);
        let stage = match stack {
            [_] => "building".to_owned(),
            _ => format!("building the build requirement {}", sdist.title()),
        };
        let mut learned = self.learned(sdist, step.learning_key());
        let mut from_memory = !learned.is_empty();
        let statics = self.static_requirements(sdist, customisation)?;
        let mut asked = statics.clone();
        self.add_requirements(&mut asked, &learned);
        loop {
            let resolution = match self.requirements(sdist, customisation, &asked, stack, task) {
                // What another version of the backend asked for need not be what this one does.
                Err(failure) if failure.class == FailureClass::ResolutionFailed && from_memory => {
                    from_memory = false;
                    learned.clear();
                    asked.clone_from(&statics);
                    continue;
                }
                resolution => resolution?,
            };
            step.build_wheels =
                resolution.wheels.iter().map(|wheel| (wheel.path(&self.run.cache), wheel.sha256)).collect();
            step.rust = self.rust_inputs(sdist, &asked, customisation, task)?;
            match self.runner.run(&step, rebuild, &stage, task)? {
                Ran::Built { report, file, cached, worker } => {
                    check_inputs(&step, &report)?;
                    let wheel = self.run.wheels.have(&report, &self.run.sdists, |place| {
                        Ok(self.runner.client()?.download(&file, place)?)
                    })?;
                    self.learn_from(&step, &learned, &report)?;
                    let locks = self.lock_entries(sdist, &resolution);
                    return Ok(Built { wheel, report: *report, worker, cached, locks });
                }
                Ran::Failed(failure) => {
                    self.ask_for_more(&step, sdist, failure, &mut asked, &mut learned)?;
                }
            }
        }
    }

    /// A key that changes with everything that decides the wheel of the sdist with digest `sdist_sha256`, but for what
    /// its build requirements are resolved to.
    pub(super) fn planned_key(&self, sdist_sha256: Sha256, customisation: &Customisation) -> Sha256 {
        self.step(Path::new(""), sdist_sha256, customisation).planned_key(self.runner.placement())
    }

    fn step<'a>(
        &'a self,
        sdist: &'a Path,
        sdist_sha256: Sha256,
        customisation: &'a Customisation,
    ) -> WheelStep<'a> {
        WheelStep {
            sdist,
            sdist_sha256,
            build_wheels: Vec::new(),
            interpreter: &self.interpreter,
            target: self.target,
            glibc: self.run.options.glibc_for(self.target),
            rust: None,
            customisation,
            sandbox: self.run.options.sandbox,
            timeout: self.run.options.timeout,
        }
    }

    /// Lock entries of `sdist` as if it had been built here, and not for another target, with `report`: what is shared
    /// today may be built for this target alone tomorrow.
    pub(super) fn locks_of_shared(
        &self,
        sdist: &Sdist,
        customisation: &Customisation,
        report: &Report,
        task: &Task,
    ) -> Result<Vec<LockedSdist>, Failure> {
        if self.lock_for(sdist).is_some() {
            return Ok(Vec::new());
        }
        let mut asked = self.static_requirements(sdist, customisation)?;
        self.add_requirements(&mut asked, &report.dynamic_requirements);
        let resolution = self.resolve(&pinned(&asked, customisation), &[sdist], task)?;
        Ok(self.lock_entries(sdist, &resolution))
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
    ) -> Result<(), Failure> {
        if failure.class != FailureClass::MissingBuildRequirement
            || !self.add_requirements(asked, &failure.missing_requirements)
        {
            return Err(failure);
        }
        if self.lock_for(sdist).is_some() {
            let missing = failure.missing_requirements.join(", ");
            let message = format!("{} asks for {missing}, which the lock does not have", sdist.title());
            let missing_requirements = failure.missing_requirements;
            return Err(Failure { missing_requirements, ..drift(message) });
        }
        for text in failure.missing_requirements {
            if !learned.contains(&text) {
                learned.push(text);
            }
        }
        Ok(self.run.cache.write("learned", step.learning_key(), learned)?)
    }

    /// What the backend asked for the last time it built this. A lock rules without it.
    fn learned(&self, sdist: &Sdist, key: Sha256) -> Vec<String> {
        if self.lock_for(sdist).is_some() {
            return Vec::new();
        }
        self.run.cache.read("learned", key).map(|(texts, _)| texts).unwrap_or_default()
    }

    /// Remembers what the backend asked for, so that the next run need not find out by trying.
    fn learn_from(&self, step: &WheelStep, learned: &[String], report: &Report) -> Result<(), Failure> {
        let mut texts = report.dynamic_requirements.clone();
        if step.customisation.touches_pyproject() {
            // Then even what pyproject.toml asks for had to be learned.
            texts.extend(learned.iter().filter(|text| !report.dynamic_requirements.contains(text)).cloned());
        }
        if texts.iter().collect::<BTreeSet<_>>() == learned.iter().collect() {
            return Ok(());
        }
        Ok(self.run.cache.write("learned", step.learning_key(), &texts)?)
    }

    /// Adds those of `texts` that apply here and are new; whether there were any.
    pub(super) fn add_requirements(
        &self,
        asked: &mut Vec<Requirement<VerbatimUrl>>,
        texts: &[String],
    ) -> bool {
        let before = asked.len();
        for requirement in texts.iter().filter_map(|text| parse_requirement(text).ok()) {
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
    ) -> Result<Vec<Requirement<VerbatimUrl>>, Failure> {
        let mut asked = Vec::new();
        // What a patch makes of pyproject.toml only the step can know; it asks for what is missing.
        if !customisation.touches_pyproject() {
            self.add_requirements(&mut asked, sdist.facts.requires.as_ref().map_err(Clone::clone)?);
        }
        self.add_requirements(&mut asked, &customisation.build_requires);
        Ok(asked)
    }

    fn requirements(
        &self,
        sdist: &Sdist,
        customisation: &Customisation,
        asked: &[Requirement<VerbatimUrl>],
        stack: &BuildStack,
        task: &Task,
    ) -> Result<Resolution, Failure> {
        let asked = &pinned(asked, customisation);
        let Some(lock) = self.lock_for(sdist) else { return self.resolve(asked, stack, task) };
        let entry = match &sdist.origin {
            Some(origin) => lock.entry_of_tree(&origin.place, None, &self.environment),
            None => lock.entry(sdist.sha256, &sdist.name(), sdist.facts.version.as_ref(), &self.environment),
        }?;
        entry.check(asked)?;
        self.resolve_locked(lock, entry, stack, task)
    }
}

/// `asked`, and the version of each of them that has a pin.
pub(super) fn pinned(
    asked: &[Requirement<VerbatimUrl>],
    customisation: &Customisation,
) -> Vec<Requirement<VerbatimUrl>> {
    let is_asked = |name: &PackageName| asked.iter().any(|requirement| requirement.name == *name);
    let pins = customisation.pins.iter().filter(|(name, _)| is_asked(name));
    let pin = |(name, version): &(PackageName, Version)| format!("{name}=={version}").parse().ok();
    asked.iter().cloned().chain(pins.filter_map(pin)).collect()
}

/// Fails if the step was not given what its key says: a file was changed after its digest was taken.
fn check_inputs(step: &WheelStep, report: &Report) -> Result<(), Failure> {
    if report.sdist_sha256 != step.sdist_sha256 {
        return Err(changed(step.sdist));
    }
    let used: BTreeSet<Sha256> = report.build_requirements.iter().map(|wheel| wheel.sha256).collect();
    match step.build_wheels.iter().find(|(_, sha256)| !used.contains(sha256)) {
        Some((path, _)) => Err(changed(path)),
        None => Ok(()),
    }
}

fn changed(path: &Path) -> Failure {
    let message = format!("{} is not the file whose hash was checked", path.display());
    Failure::new(FailureClass::FetchFailed, message)
        .with_hint("something changed it since; if it is in the cache, remove it there")
}
