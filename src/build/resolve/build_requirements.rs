//! Build requirements: from PEP 508 texts to wheels on disk, by way of uv, a memory of its answers,
//! a lock file, and builds of what exists only as an sdist.
//! Knows nothing of what the wheels are installed for.

use std::path::PathBuf;
use std::str::FromStr;

use pep440_rs::Version;
use pep508_rs::{PackageName, Requirement, VerbatimUrl, VersionOrUrl};
use url::Url;

use super::answer;
use super::answer::{Choice, ChosenFile, Package};
use super::lock::{Lock, LockedSdist, drift};
use super::resolution::{Resolution, ResolvedWheel, WheelOrigin};
use super::uv::{NoAnswer, Question, Uv, Wheelless, wheelless};
use crate::build::builder::Builder;
use crate::build::built::Built;
use crate::build::cache::{FRESH, KeyBuilder};
use crate::build::customisation::Customisation;
use crate::build::index::simple_api::IndexSdist;
use crate::build::inputs::sdists::Sdist;
use crate::build::progress::Task;
use crate::build::run::Run;
use crate::contract::{Failure, FailureClass};
use crate::digest::Sha256;

/// uv is asked again after each project without wheels; no sane set of requirements has more.
pub(super) const MOST_BUILT: usize = 64;
/// Nor is there a point in building ever older versions of one project.
const MOST_VERSIONS: usize = 4;

/// The sdists being built, outermost first: each is a build requirement of the one before it.
pub type BuildStack<'a> = [&'a Sdist];

impl Run {
    /// What the settings have to say in how build requirements are resolved.
    ///
    /// # Errors
    /// Places of `--find-links` that cannot be looked at.
    pub(crate) fn resolution_settings_key(&self) -> Result<Sha256, Failure> {
        let settings = &self.settings;
        let mut key = KeyBuilder::default()
            .part("constraints", &self.constraints.text)
            .parts("constraints file", &settings.constraints)
            .parts("index", settings.indexes.iter().map(Url::as_str))
            .part("exclude-newer", settings.cutoffs.key())
            .part("no-index", settings.no_index.to_string())
            .part("uv's surroundings", &settings.uv_surroundings);
        for place in &settings.find_links {
            key = key.part("find-links", place.stamp()?);
        }
        Ok(key.finish())
    }
}

impl Builder {
    /// Resolves `asked` and makes sure that every wheel is on disk.
    pub(crate) fn resolve(
        &self,
        asked: &[Requirement<VerbatimUrl>],
        stack: &BuildStack,
        task: &Task,
    ) -> Result<Resolution, Failure> {
        let mut texts: Vec<String> = asked.iter().map(ToString::to_string).collect();
        texts.sort();
        texts.dedup();
        if texts.is_empty() {
            return Ok(Resolution::default());
        }
        let key = self.resolution_key(&texts)?;
        let resolution = match self.cached_resolution(key) {
            Some(resolution) => resolution,
            None => self.resolve_anew(key, &texts, asked, stack, task)?,
        };
        for wheel in &resolution.wheels {
            if let WheelOrigin::Url(url) = &wheel.origin {
                self.run.fetch(url, Some(wheel.sha256), &wheel.file_name, task)?;
            }
        }
        Ok(resolution)
    }

    /// The wheels `entry` of the lock names.
    pub(crate) fn resolve_locked(
        &self,
        lock: &Lock,
        entry: &LockedSdist,
        stack: &BuildStack,
        task: &Task,
    ) -> Result<Resolution, Failure> {
        let mut resolution = Resolution::default();
        for locked in &entry.requirements {
            let (name, version) = (locked.name.clone(), locked.version.clone());
            let wheel = match (&locked.url, locked.built_from) {
                (Some(url), None) => {
                    let url = locked_url(url)?;
                    self.run.fetch(&url, Some(locked.sha256), &locked.file_name, task)?;
                    let (file_name, sha256) = (locked.file_name.clone(), locked.sha256);
                    ResolvedWheel { name, version, file_name, sha256, origin: WheelOrigin::Url(url) }
                }
                (None, Some(sha256)) => {
                    let sdist = lock.built_from(sha256, &self.environment)?;
                    let url = sdist.url.as_deref().ok_or_else(|| {
                        drift(format!("the lock does not say where the sdist of {name} {version} comes from"))
                    })?;
                    let sdist = self.run.fetched_sdist(&self.run.locked_place(url)?, Some(sha256), task)?;
                    let built = self.build_requirement(&sdist, stack, task)?;
                    resolution.built.extend(built.locks.iter().cloned());
                    ResolvedWheel::of_built(name, version, &built, sha256)
                }
                _ => {
                    let message =
                        format!("the lock's {name} {version} has not exactly one of url and built-from");
                    return Err(drift(message));
                }
            };
            resolution.wheels.push(wheel);
        }
        Ok(resolution)
    }

    fn cached_resolution(&self, key: Sha256) -> Option<Resolution> {
        let (resolution, age) = self.run.cache.read::<Resolution>("resolutions", key)?;
        let current = self.run.settings.offline || (age < FRESH && !self.run.options.refresh);
        let is_there = |wheel: &ResolvedWheel| match wheel.origin {
            WheelOrigin::Url(_) => true,
            WheelOrigin::Built { .. } => wheel.path(&self.run.cache).is_file(),
        };
        (current && resolution.wheels.iter().all(is_there)).then_some(resolution)
    }

    /// Everything uv's answer depends on, but for what the indexes hold.
    pub(super) fn resolution_key(&self, texts: &[String]) -> Result<Sha256, Failure> {
        Ok(KeyBuilder::default()
            .part("crosswheel", env!("CARGO_PKG_VERSION"))
            .part("uv", Uv::stamp(&self.run.cache))
            .parts("requirement", texts)
            .part("python", self.interpreter.executable.as_os_str().as_encoded_bytes())
            .part("version", self.interpreter.markers.python_full_version().to_string())
            .part("target", self.target.to_string())
            .part("glibc", self.build_glibc.map(|glibc| glibc.to_string()).unwrap_or_default())
            .part("settings", self.run.resolution_settings_key()?.to_string())
            .finish())
    }

    fn resolve_anew(
        &self,
        key: Sha256,
        texts: &[String],
        asked: &[Requirement<VerbatimUrl>],
        stack: &BuildStack,
        task: &Task,
    ) -> Result<Resolution, Failure> {
        task.stage("resolving build requirements");
        let mut built: Vec<(Built, Sdist)> = Vec::new();
        for _ in 0..MOST_BUILT {
            match self.ask_once(key, texts, &built)? {
                Answer::Remembered(resolution) => return Ok(resolution),
                Answer::Packages(packages) => {
                    let resolution = self.resolution_of(packages, &built, stack, task)?;
                    self.run.cache.write("resolutions", key, &resolution)?;
                    return Ok(resolution);
                }
                Answer::Refused(explanation) => {
                    let demands = [asked, &self.run.constraints.requirements].concat();
                    let Some(sdist) = self.sdist_to_build(&explanation, &demands, &built)? else {
                        return Err(self.refused(explanation, texts));
                    };
                    let sdist = self.run.indexed_sdist(&sdist, task)?;
                    built.push((self.build_requirement(&sdist, stack, task)?, sdist));
                    task.stage("resolving build requirements");
                }
            }
        }
        let message = format!("more than {MOST_BUILT} build requirements exist only as sdists");
        Err(Failure::new(FailureClass::ResolutionFailed, message))
    }

    /// Asks uv, unless another thread has just got the answer to the same question.
    fn ask_once(&self, key: Sha256, texts: &[String], built: &[(Built, Sdist)]) -> Result<Answer, Failure> {
        self.run.cache.exclusively(key, || {
            if let Some(resolution) = self.cached_resolution(key) {
                return Ok(Answer::Remembered(resolution));
            }
            let directories: Vec<PathBuf> =
                built.iter().map(|(built, _)| self.run.cache.wheel(built.report.sha256)).collect();
            let question = Question {
                requirements: texts,
                interpreter: &self.interpreter,
                python: self.run.python_for_uv(),
                target: self.target,
                glibc: self.build_glibc,
                built: &directories,
                settings: &self.run.settings,
                constraint_files: &self.run.settings.constraints,
                constraints: &self.run.settings.inline_constraints,
                prereleases: false,
                refresh: self.run.options.refresh,
            };
            let answer = self.run.uv()?.resolve(
                &question,
                &self.run.cache,
                self.run.http.credentials(),
                &self.run.interrupt,
            );
            let text = match answer {
                Ok(text) => text,
                Err(NoAnswer::Refused(explanation)) => return Ok(Answer::Refused(explanation)),
                Err(NoAnswer::Failed(failure)) => return Err(failure),
            };
            let packages = answer::choose(&text, &self.tags, &self.interpreter.markers)?;
            // Nothing more to do: the other threads that wait here need not ask.
            if let Some(resolution) = plain_resolution(&packages).filter(|_| built.is_empty()) {
                self.run.cache.write("resolutions", key, &resolution)?;
                return Ok(Answer::Remembered(resolution));
            }
            Ok(Answer::Packages(packages))
        })
    }

    /// Turns uv's answer into wheels, building what it has no wheel for.
    fn resolution_of(
        &self,
        packages: Vec<Package>,
        built: &[(Built, Sdist)],
        stack: &BuildStack,
        task: &Task,
    ) -> Result<Resolution, Failure> {
        let mut resolution = Resolution::default();
        for package in packages {
            let here = match &package.choice {
                Choice::Wheel(file) => built.iter().find(|(built, _)| {
                    built.report.file_name == file.file_name && file.sha256 == Some(built.report.sha256)
                }),
                _ => None,
            };
            let wheel = match (here, package.choice) {
                (Some((built, sdist)), _) => {
                    resolution.built.extend(built.locks.iter().cloned());
                    let version = report_version(built)?;
                    ResolvedWheel::of_built(package.name, version, built, sdist.sha256)
                }
                (None, Choice::Wheel(file)) => {
                    self.fetched_wheel(package.name, package.version, file, task)?
                }
                (None, choice) => {
                    let sdist = match choice {
                        Choice::Sdist(file) => self.run.fetched_sdist(&file.url, file.sha256, task)?,
                        _ => self.run.indexed_version(&package.name, package.version.as_ref(), task)?,
                    };
                    let built = self.build_requirement(&sdist, stack, task)?;
                    resolution.built.extend(built.locks.iter().cloned());
                    ResolvedWheel::of_built(package.name, report_version(&built)?, &built, sdist.sha256)
                }
            };
            resolution.wheels.push(wheel);
        }
        resolution.wheels.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(resolution)
    }

    /// A wheel of uv's answer. Where the index tells no hash, the one of what came is recorded.
    fn fetched_wheel(
        &self,
        name: PackageName,
        version: Option<Version>,
        file: ChosenFile,
        task: &Task,
    ) -> Result<ResolvedWheel, Failure> {
        let (_, sha256) = self.run.fetch(&file.url, file.sha256, &file.file_name, task)?;
        let version = match version {
            Some(version) => version,
            None => wheel_version(&file.file_name)?,
        };
        Ok(ResolvedWheel {
            name,
            version,
            file_name: file.file_name,
            sha256,
            origin: WheelOrigin::Url(file.url),
        })
    }

    /// Builds an sdist that is needed to build the last of `stack`.
    fn build_requirement(&self, sdist: &Sdist, stack: &BuildStack, task: &Task) -> Result<Built, Failure> {
        if let Some(start) = stack.iter().position(|outer| is_same(outer, sdist)) {
            return Err(cycle(&stack[start..], sdist));
        }
        let nested = [stack, &[sdist]].concat();
        self.build_sdist(sdist, &Customisation::default(), false, &nested, task).map_err(|failure| {
            match failure.class {
                FailureClass::RequirementCycle | FailureClass::Interrupted => failure,
                _ => failure.within(format!("its build requirement {} could not be built", sdist.title())),
            }
        })
    }

    /// The sdist that would take uv further, given its `explanation` and all `demands`.
    pub(super) fn sdist_to_build(
        &self,
        explanation: &str,
        demands: &[Requirement<VerbatimUrl>],
        built: &[(Built, Sdist)],
    ) -> Result<Option<IndexSdist>, Failure> {
        let versions_built = |name: &PackageName| {
            built.iter().filter(|(_, sdist)| sdist.facts.name.as_ref() == Some(name)).count()
        };
        let mut projects = wheelless(explanation);
        // First what a wheel we built depends on, only then an older version to do without it.
        projects.retain(|project| versions_built(&project.name) < MOST_VERSIONS);
        projects.sort_by_key(|project| versions_built(&project.name));
        for project in projects {
            let demands: Vec<&Requirement<VerbatimUrl>> =
                demands.iter().filter(|requirement| requirement.name == project.name).collect();
            let candidates = self.run.index.sdists(&project.name)?.sdists;
            let candidates = candidates.into_iter().filter(|candidate| {
                let known = built.iter().any(|(_, sdist)| {
                    sdist.facts.name.as_ref() == Some(&candidate.name)
                        && sdist.facts.version.as_ref() == Some(&candidate.version)
                });
                !known && self.admits(candidate, &demands)
            });
            if let Some(sdist) = best_candidate(candidates.collect(), &project) {
                return Ok(Some(sdist));
            }
        }
        Ok(None)
    }

    fn admits(&self, candidate: &IndexSdist, demands: &[&Requirement<VerbatimUrl>]) -> bool {
        let python = &self.interpreter.markers.python_full_version().version;
        let fits_python =
            candidate.file.requires_python.as_ref().is_none_or(|specifiers| specifiers.contains(python));
        let exactly_demanded = || {
            demands.iter().any(|requirement| {
                matches!(&requirement.version_or_url, Some(VersionOrUrl::VersionSpecifier(specifiers))
                    if specifiers.iter().any(|specifier| *specifier.version() == candidate.version))
            })
        };
        let fits_demands = demands.iter().all(|requirement| match &requirement.version_or_url {
            Some(VersionOrUrl::VersionSpecifier(specifiers)) => specifiers.contains(&candidate.version),
            _ => true,
        });
        let ordinary = !candidate.version.any_prerelease() && !candidate.file.yanked;
        fits_python && fits_demands && (ordinary || exactly_demanded())
    }

    pub(super) fn refused(&self, explanation: String, texts: &[String]) -> Failure {
        let message = format!("uv finds no wheels for {}", texts.join(", "));
        let mut failure = Failure::new(FailureClass::ResolutionFailed, message);
        failure.evidence = explanation.lines().map(str::to_owned).collect();
        failure.hint = if explanation.contains("unexpected argument") || explanation.contains("invalid value")
        {
            Some("this uv may be too old; 0.8 or newer is needed".into())
        } else if self.run.settings.offline {
            Some("the network is off (--offline); run once without it".into())
        } else if explanation.contains("No interpreter found") {
            Some("uv starts with a Python of this machine only, of whatever version; install one".into())
        } else {
            None
        };
        failure
    }
}

/// What came of asking uv.
enum Answer {
    /// All there is to know, already in the cache.
    Remembered(Resolution),
    /// Some of these are yet to be fetched without a hash, or built.
    Packages(Vec<Package>),
    /// uv's explanation.
    Refused(String),
}

/// The resolution of an answer that consists of wheels with known hashes only.
fn plain_resolution(packages: &[Package]) -> Option<Resolution> {
    let mut wheels = Vec::new();
    for package in packages {
        let Choice::Wheel(file) = &package.choice else { return None };
        wheels.push(ResolvedWheel {
            name: package.name.clone(),
            version: package.version.clone()?,
            file_name: file.file_name.clone(),
            sha256: file.sha256?,
            origin: WheelOrigin::Url(file.url.clone()),
        });
    }
    wheels.sort_by(|a, b| a.name.cmp(&b.name));
    Some(Resolution { wheels, built: Vec::new() })
}

/// The newest candidate (they come newest first) that uv said it would take; failing that, one that
/// fits what it said less strictly: its sentences are not made for programs.
fn best_candidate(candidates: Vec<IndexSdist>, project: &Wheelless) -> Option<IndexSdist> {
    let in_range = |candidate: &IndexSdist| {
        project.ranges.is_empty() || project.ranges.iter().any(|range| range.contains(&candidate.version))
    };
    let demanded =
        |candidate: &IndexSdist| project.demands.iter().all(|range| range.contains(&candidate.version));
    let best = candidates.iter().position(|candidate| in_range(candidate) && demanded(candidate));
    let best = best.or_else(|| candidates.iter().position(in_range));
    let best = best.or_else(|| candidates.iter().position(demanded))?;
    candidates.into_iter().nth(best)
}

fn is_same(a: &Sdist, b: &Sdist) -> bool {
    let same_release = a.facts.name.is_some()
        && a.facts.version.is_some()
        && (&a.facts.name, &a.facts.version) == (&b.facts.name, &b.facts.version);
    same_release || a.sha256 == b.sha256
}

/// `a 1.0 needs b 2.0 to build, which needs a 1.0 to build`.
fn cycle(members: &[&Sdist], again: &Sdist) -> Failure {
    let titles: Vec<String> = members.iter().copied().chain([again]).map(Sdist::title).collect();
    let needs: Vec<String> = titles[1..].iter().map(|title| format!("needs {title} to build")).collect();
    let message = format!("{} {}", titles[0], needs.join(", which "));
    Failure::new(FailureClass::RequirementCycle, message)
        .with_hint("give a wheel of one of them with --find-links")
}

fn report_version(built: &Built) -> Result<Version, Failure> {
    Version::from_str(&built.report.version).map_err(|error| {
        let message = format!("{} has an invalid version: {error}", built.report.file_name);
        Failure::new(FailureClass::ResolutionFailed, message)
    })
}

fn wheel_version(file_name: &str) -> Result<Version, Failure> {
    let parsed = crate::packaging::wheel_name::WheelFileName::from_str(file_name)
        .map_err(|error| Failure::new(FailureClass::ResolutionFailed, error.to_string()))?;
    Ok(parsed.version)
}

pub(super) fn locked_url(text: &str) -> Result<Url, Failure> {
    text.parse().map_err(|error| drift(format!("the lock's `{text}` is not a URL: {error}")))
}
