//! What has to be installed where requirements are: resolved by uv for the target's Python, platform and C library, with
//! a file for each distribution. What has no wheel is built on the way, as only its wheel tells what it requires.
//! Knows nothing of what is done with the files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pep440_rs::Version;
use pep508_rs::{PackageName, Requirement, VerbatimUrl};
use serde::{Deserialize, Serialize};
use url::Url;

use super::answer::{self, Choice, ChosenFile, Package};
use super::build_requirements::MOST_BUILT;
use super::uv::{NoAnswer, Question};
use crate::build::builder::Builder;
use crate::build::built::Built;
use crate::build::cache::{FRESH, KeyBuilder};
use crate::build::index::download::file_name_of;
use crate::build::inputs::binary_policy::{BinaryPolicy, TakenFiles};
use crate::build::inputs::hashes::RequiredHashes;
use crate::build::inputs::requested::RequestedSource;
use crate::build::inputs::requirements_file::RequestedSet;
use crate::build::inputs::sdists::Sdist;
use crate::build::inputs::source::{Source, file_url};
use crate::build::progress::Task;
use crate::contract::{Failure, FailureClass};
use crate::digest::Sha256;
use crate::packaging::wheel_name::WheelFileName;

/// A distribution that has to be installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedDistribution {
    /// Normalised project name.
    pub name: PackageName,
    /// The version.
    pub version: Version,
    /// Where its wheel comes from.
    pub origin: ResolvedOrigin,
    /// Why that is so, in a few words.
    pub reason: String,
}

/// Where the wheel of a distribution comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResolvedOrigin {
    /// There is one.
    Wheel(ResolvedFile),
    /// It is built from an sdist.
    Sdist(ResolvedFile),
    /// It is built from a tree, or from an archive that is no sdist: a source as people name it, by an absolute path or a
    /// URL. Without a login.
    Tree(String),
}

/// A file that is fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedFile {
    /// Its name.
    pub file_name: String,
    /// Where it is: an http, https or file URL, without a login.
    pub url: Url,
    /// SHA-256, if it is known beforehand.
    pub sha256: Option<Sha256>,
    /// Bytes, if they are known beforehand.
    pub size: Option<u64>,
}

/// A requirement that says where its distribution is.
struct Direct {
    requested: RequestedSource,
    name: PackageName,
    /// What it is built from; a wheel if there is nothing to build.
    sdist: Option<Sdist>,
    wheel: Url,
}

/// What is asked for on this target.
struct Asked<'a> {
    set: &'a RequestedSet,
    directs: Vec<Direct>,
    /// For uv, sorted.
    texts: Vec<String>,
    constraints: Vec<String>,
    /// By project, where files must have hashes that were written down.
    hashes: BTreeMap<PackageName, RequiredHashes>,
}

impl Builder {
    /// What has to be installed for `requested`, sorted by name.
    ///
    /// # Errors
    /// What cannot be resolved, fetched or built; what has no wheel where nothing may be built; a file without a hash
    /// where all must have one.
    pub(crate) fn resolve_for_installation(
        &self,
        requested: &RequestedSet,
        task: &Task,
    ) -> Result<Vec<ResolvedDistribution>, Failure> {
        let asked = self.asked(requested, task)?;
        if asked.texts.is_empty() {
            return Ok(Vec::new());
        }
        let key = self.installation_key(&asked)?;
        if let Some((known, age)) = self.run.cache.read::<Vec<ResolvedDistribution>>("installations", key)
            && (self.run.settings.offline || (age < FRESH && !self.run.options.refresh))
        {
            return Ok(known);
        }
        let found = self.resolve_asked(&asked, task)?;
        self.run.cache.write("installations", key, &found)?;
        Ok(found)
    }

    /// What of `set` is wanted here, with all that says where it is fetched and built.
    fn asked<'a>(&self, set: &'a RequestedSet, task: &Task) -> Result<Asked<'a>, Failure> {
        let markers = &self.interpreter.markers;
        let mut asked = Asked {
            set,
            directs: Vec::new(),
            texts: Vec::new(),
            constraints: Vec::new(),
            hashes: BTreeMap::new(),
        };
        for constraint in set.constraints.iter().filter(|constraint| constraint.applies(markers)) {
            asked.constraints.push(constraint_text(constraint)?);
        }
        for requested in set.sources.iter().filter(|requested| requested.applies(markers)) {
            let requested = requested.bounded_by(&set.constraints, markers)?;
            let text = match &requested.source {
                Source::Pinned { .. } | Source::Newest { .. } => requirement_text(&requested),
                _ => {
                    let direct = self.direct(requested.clone(), &set.policy, task)?;
                    let text = format!("{}{} @ {}", direct.name, extras_text(&requested), direct.wheel);
                    asked.directs.push(direct);
                    text
                }
            };
            let name = requested.name.as_ref().or(asked.directs.last().map(|direct| &direct.name));
            if let Some(name) = name {
                asked.hashes.entry(name.clone()).or_default().add_all(&requested.hashes);
            }
            asked.texts.push(text);
        }
        asked.texts.sort();
        asked.texts.dedup();
        Ok(asked)
    }

    /// The wheel that `requested` leads to: there, or built if `policy` lets it. Code of what may not be built does not run.
    fn direct(
        &self,
        requested: RequestedSource,
        policy: &BinaryPolicy,
        task: &Task,
    ) -> Result<Direct, Failure> {
        if let Some(wheel) = wheel_url(&requested.source)? {
            let file_name = file_name_of(&wheel)?;
            let parsed: WheelFileName = file_name
                .parse()
                .map_err(|error| Failure::new(FailureClass::InvalidSource, format!("{error}")))?;
            check_name(&requested, &parsed.name)?;
            // It is uv that is given the whole URL, and we who fetch what it finds there.
            self.run.http.credentials().absorb(&wheel);
            return Ok(Direct { name: parsed.name, requested, sdist: None, wheel });
        }
        let may_be_built = |name: &PackageName, version: Option<&Version>| match policy.of(name) {
            TakenFiles::Wheels => Err(only_binary(name, version, &requested.shown())),
            TakenFiles::Any | TakenFiles::Sdists => Ok(()),
        };
        match &requested.name {
            Some(name) => may_be_built(name, None)?,
            // Making an sdist of a tree runs its build backend, and only that tells the name.
            None if requested.source.is_tree() && policy.builds_only_named() => {
                return Err(unnamed_tree(&requested));
            }
            None => {}
        }
        let (_, sdist) = self.acquire_requested(&requested, task)?;
        if let Some(name) = &sdist.facts.name {
            may_be_built(name, sdist.facts.version.as_ref())?;
        }
        let built = self.built_for_installation(&sdist, task)?;
        let name = report_name(&built)?;
        check_name(&requested, &name)?;
        may_be_built(&name, sdist.facts.version.as_ref())?;
        let path = self.run.cache.wheel(built.report.sha256).join(&built.report.file_name);
        Ok(Direct { requested, name, sdist: Some(sdist), wheel: file_url(&path)? })
    }

    fn built_for_installation(&self, sdist: &Sdist, task: &Task) -> Result<Built, Failure> {
        self.build_sdist(sdist, &self.run.customisation, false, &[sdist], task).map_err(|failure| {
            match failure.class {
                FailureClass::Interrupted => failure,
                _ => failure.within(format!("what {} requires only its wheel tells", sdist.title())),
            }
        })
    }

    fn installation_key(&self, asked: &Asked) -> Result<Sha256, Failure> {
        let sdists = asked.directs.iter().filter_map(|direct| direct.sdist.as_ref());
        let mut wheels = Vec::new();
        for direct in asked.directs.iter().filter(|direct| direct.sdist.is_none()) {
            // The file may be replaced by another one of that name.
            if let Some(path) = local_path(&direct.wheel) {
                wheels.push(self.run.sdists.digest(&path)?.to_string());
            }
        }
        let mut key = KeyBuilder::default()
            .part("installation", self.resolution_key(&asked.texts)?.to_string())
            .parts("constraint", &asked.constraints)
            .parts("constraints file", &self.run.settings.general_constraints)
            .parts("sdist", sdists.map(|sdist| sdist.sha256.to_string()))
            .parts("wheel", wheels)
            .part("hashes", format!("{:?} {:?}", asked.set.hash_checking, asked.hashes))
            .part("policy", format!("{:?}", asked.set.policy))
            .part("pre-releases", asked.set.prereleases.to_string());
        for file in self.run.settings.general_constraints.iter().filter(|file| !file.contains("://")) {
            key = key.part("text", fs_err::read(file)?);
        }
        Ok(key.finish())
    }

    fn resolve_asked(&self, asked: &Asked, task: &Task) -> Result<Vec<ResolvedDistribution>, Failure> {
        task.stage("resolving");
        let demands: Vec<Requirement<VerbatimUrl>> =
            asked.texts.iter().chain(&asked.constraints).filter_map(|text| text.parse().ok()).collect();
        let mut built: Vec<(Built, Sdist)> = Vec::new();
        for _ in 0..MOST_BUILT {
            let explanation = match self.ask_for_installation(asked, &built)? {
                Ok(text) => return self.distributions(&text, asked, &built, task),
                Err(explanation) => explanation,
            };
            let Some(sdist) = self.sdist_to_build(&explanation, &demands, &built)? else {
                return Err(self.refused(explanation, &asked.shown()));
            };
            if asked.set.policy.of(&sdist.name) == TakenFiles::Wheels {
                return Err(only_binary(&sdist.name, Some(&sdist.version), &self.target.to_string()));
            }
            let sdist = self.run.indexed_sdist(&sdist, task)?;
            built.push((self.built_for_installation(&sdist, task)?, sdist));
            task.stage("resolving");
        }
        let message = format!("more than {MOST_BUILT} distributions exist only as sdists");
        Err(Failure::new(FailureClass::ResolutionFailed, message))
    }

    /// uv's answer, or its explanation why there is none.
    fn ask_for_installation(
        &self,
        asked: &Asked,
        built: &[(Built, Sdist)],
    ) -> Result<Result<String, String>, Failure> {
        let directories: Vec<_> =
            built.iter().map(|(built, _)| self.run.cache.wheel(built.report.sha256)).collect();
        let question = Question {
            requirements: &asked.texts,
            interpreter: &self.interpreter,
            python: self.run.python_for_uv(),
            target: self.target,
            glibc: self.build_glibc,
            built: &directories,
            settings: &self.run.settings,
            constraint_files: &self.run.settings.general_constraints,
            constraints: &asked.constraints,
            prereleases: asked.set.prereleases,
            refresh: self.run.options.refresh,
        };
        let credentials = self.run.http.credentials();
        match self.run.uv()?.resolve(&question, &self.run.cache, credentials, &self.run.interrupt) {
            Ok(text) => Ok(Ok(text)),
            Err(NoAnswer::Refused(explanation)) => Ok(Err(explanation)),
            Err(NoAnswer::Failed(failure)) => Err(failure),
        }
    }

    fn distributions(
        &self,
        text: &str,
        asked: &Asked,
        built: &[(Built, Sdist)],
        task: &Task,
    ) -> Result<Vec<ResolvedDistribution>, Failure> {
        let packages = answer::choose_among(text, &self.tags, &self.interpreter.markers, |name, file| {
            asked.may_have_hash(name, file.sha256)
        })?;
        let mut found = Vec::new();
        for package in packages {
            found.push(self.distribution(package, asked, built, task)?);
        }
        found.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        Ok(found)
    }

    fn distribution(
        &self,
        package: Package,
        asked: &Asked,
        built: &[(Built, Sdist)],
        task: &Task,
    ) -> Result<ResolvedDistribution, Failure> {
        let Package { name, version, choice } = package;
        asked.check_has_hash(&name, version.as_ref())?;
        let version = match (version, &choice) {
            (Some(version), _) => version,
            (None, Choice::Wheel(file)) => wheel_version(&file.file_name)?,
            (None, _) => return Err(unversioned(&name)),
        };
        let resolved = |origin, reason: &str| ResolvedDistribution {
            name: name.clone(),
            version: version.clone(),
            origin,
            reason: reason.to_owned(),
        };
        if let Some(direct) = asked.directs.iter().find(|direct| direct.name == name) {
            let origin = match (&direct.sdist, choice) {
                (None, Choice::Wheel(file)) => ResolvedOrigin::Wheel(self.checked(file, &name, asked, task)?),
                (None, _) => return Err(unversioned(&name)),
                (Some(_), _) if direct.requested.source.is_tree() => {
                    let source = direct.requested.source.clone().without_login(self.run.http.credentials());
                    ResolvedOrigin::Tree(source.place_text()?.ok_or_else(|| unversioned(&name))?)
                }
                (Some(sdist), _) => ResolvedOrigin::Sdist(file_of_sdist(sdist)?),
            };
            return Ok(resolved(origin, "named by its place"));
        }
        let ours = built.iter().find(|(_, sdist)| {
            (sdist.facts.name.as_ref(), sdist.facts.version.as_ref()) == (Some(&name), Some(&version))
        });
        if let Some((_, sdist)) = ours {
            asked.check_sdist(&name, sdist)?;
            let origin = ResolvedOrigin::Sdist(file_of_sdist(sdist)?);
            return Ok(resolved(origin, &self.why_no_wheel(&name, &version)?));
        }
        let reason = match (asked.set.policy.of(&name), choice) {
            (TakenFiles::Any | TakenFiles::Wheels, Choice::Wheel(file)) => {
                let file = self.checked(file, &name, asked, task)?;
                return Ok(resolved(ResolvedOrigin::Wheel(file), "wheel"));
            }
            (TakenFiles::Wheels, _) => {
                return Err(only_binary(&name, Some(&version), &self.target.to_string()));
            }
            (TakenFiles::Sdists, _) => "--no-binary".to_owned(),
            (TakenFiles::Any, _) if asked.set.hash_checking => {
                "no wheel with a hash that is allowed".to_owned()
            }
            (TakenFiles::Any, _) => self.why_no_wheel(&name, &version)?,
        };
        let sdist = self
            .run
            .indexed_version(&name, Some(&version), task)
            .map_err(|failure| failure.within(format!("{name} has to be built ({reason})")))?;
        asked.check_sdist(&name, &sdist)?;
        Ok(resolved(ResolvedOrigin::Sdist(file_of_sdist(&sdist)?), &reason))
    }

    /// Why an sdist of `version` is built although nobody asked for it.
    fn why_no_wheel(&self, name: &PackageName, version: &Version) -> Result<String, Failure> {
        let files = self.run.index.files(name)?;
        let is_wheel = |file_name: &str| {
            let wheel: Option<WheelFileName> = file_name.parse().ok();
            wheel.is_some_and(|wheel| wheel.name == *name && wheel.version == *version)
        };
        Ok(match files.iter().any(|file| is_wheel(&file.file_name)) {
            true => "no compatible wheel".to_owned(),
            false => "no wheels".to_owned(),
        })
    }

    /// A wheel that has one of the hashes it must have; fetched, if that is the only way to know. What is here is known by
    /// its bytes.
    fn checked(
        &self,
        file: ChosenFile,
        name: &PackageName,
        asked: &Asked,
        task: &Task,
    ) -> Result<ResolvedFile, Failure> {
        let ChosenFile { file_name, url, mut sha256, size } = file;
        if let Some(path) = local_path(&url) {
            sha256 = Some(self.run.sdists.digest(&path)?);
        }
        if let Some(hashes) = asked.hashes_of(name)
            && sha256.and_then(|sha256| hashes.admits(sha256)) != Some(true)
        {
            let (path, found) = match (local_path(&url), sha256) {
                (Some(path), Some(found)) => (path, found),
                _ => self.run.fetch(&url, sha256, &file_name, task)?,
            };
            hashes.check(&path, found)?;
            sha256 = Some(found);
        }
        Ok(ResolvedFile { file_name, url, sha256, size })
    }
}

impl Asked<'_> {
    /// The hashes that files of `name` must have, if they must have any.
    fn hashes_of(&self, name: &PackageName) -> Option<&RequiredHashes> {
        self.hashes.get(name).filter(|hashes| !hashes.is_empty())
    }

    /// Whether a wheel with this hash, if it is known, may be taken.
    fn may_have_hash(&self, name: &PackageName, sha256: Option<Sha256>) -> bool {
        let admitted = self.hashes_of(name).zip(sha256).and_then(|(hashes, sha256)| hashes.admits(sha256));
        admitted != Some(false)
    }

    /// Where all files must have hashes, also those that nobody named.
    fn check_has_hash(&self, name: &PackageName, version: Option<&Version>) -> Result<(), Failure> {
        if !self.set.hash_checking || self.hashes_of(name).is_some() {
            return Ok(());
        }
        let version = version.map(|version| format!("=={version}")).unwrap_or_default();
        let message = format!(
            "{name}{version} is required by what the requirements files name, and they have no hash of it; where one \
             requirement has a hash, all must"
        );
        Err(Failure::new(FailureClass::ResolutionFailed, message)
            .with_hint("`uv pip compile --generate-hashes` writes a file with all of them"))
    }

    fn check_sdist(&self, name: &PackageName, sdist: &Sdist) -> Result<(), Failure> {
        self.hashes_of(name).map_or(Ok(()), |hashes| hashes.check(&sdist.path, sdist.sha256))
    }

    /// What was asked for, as whoever asked wrote it.
    fn shown(&self) -> Vec<String> {
        self.set.sources.iter().map(RequestedSource::shown).collect()
    }
}

fn only_binary(name: &PackageName, version: Option<&Version>, what: &str) -> Failure {
    let version = version.map(|version| format!("=={version}")).unwrap_or_default();
    let message =
        format!("{name}{version} has no wheel ({what}), and --only-binary says that it is not built");
    Failure::new(FailureClass::ResolutionFailed, message).with_hint(format!(
        "let it be built with `--only-binary :none:` or `--no-binary {name}`, or name a version with a wheel"
    ))
}

/// Where nothing is built but what is named, and this is not.
fn unnamed_tree(requested: &RequestedSource) -> Failure {
    let shown = requested.shown();
    let message = format!("{shown} would have to be built, and --only-binary says that it is not");
    Failure::new(FailureClass::ResolutionFailed, message).with_hint(format!(
        "let it be built with `--only-binary :none:`, or name it, as `NAME @ {shown}` with `--no-binary NAME`"
    ))
}

fn unversioned(name: &PackageName) -> Failure {
    Failure::new(
        FailureClass::ResolutionFailed,
        format!("uv's answer has neither a version nor a wheel of {name}"),
    )
}

/// Where the wheel is that `source` is, if it is one.
fn wheel_url(source: &Source) -> Result<Option<Url>, Failure> {
    let is_wheel = |path: &str| path.ends_with(".whl");
    match source {
        Source::File(path) if is_wheel(&path.to_string_lossy()) => file_url(path).map(Some),
        Source::Url { url, subdirectory: None, .. } if is_wheel(url.path()) => Ok(Some(url.clone())),
        _ => Ok(None),
    }
}

/// Where the file is that `url` names, if it is here.
fn local_path(url: &Url) -> Option<PathBuf> {
    url.to_file_path().ok().filter(|_| url.scheme() == "file")
}

fn file_of_sdist(sdist: &Sdist) -> Result<ResolvedFile, Failure> {
    let url = match &sdist.url {
        Some(url) => url.clone(),
        None => file_url(&sdist.path)?,
    };
    let file_name = sdist.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let size = fs_err::metadata(&sdist.path).ok().map(|metadata| metadata.len());
    Ok(ResolvedFile { file_name, url, sha256: Some(sdist.sha256), size })
}

fn report_name(built: &Built) -> Result<PackageName, Failure> {
    built.report.name.parse().map_err(|error| {
        let message = format!("{} has an invalid name: {error}", built.report.file_name);
        Failure::new(FailureClass::ResolutionFailed, message)
    })
}

fn wheel_version(file_name: &str) -> Result<Version, Failure> {
    let parsed: Result<WheelFileName, _> = file_name.parse();
    match parsed {
        Ok(parsed) => Ok(parsed.version),
        Err(error) => Err(Failure::new(FailureClass::ResolutionFailed, error.to_string())),
    }
}

fn check_name(requested: &RequestedSource, found: &PackageName) -> Result<(), Failure> {
    match requested.name.as_ref().filter(|name| *name != found) {
        Some(name) => {
            let message = format!("{} is the project {found}, not {name}", requested.shown());
            Err(Failure::new(FailureClass::WheelRefused, message))
        }
        None => Ok(()),
    }
}

/// `[a,b]`
fn extras_text(requested: &RequestedSource) -> String {
    let extras: Vec<String> = requested.extras.iter().map(ToString::to_string).collect();
    if extras.is_empty() { String::new() } else { format!("[{}]", extras.join(",")) }
}

/// The requirement without its marker, which holds.
fn requirement_text(requested: &RequestedSource) -> String {
    let extras = extras_text(requested);
    match &requested.source {
        Source::Pinned { name, version } => format!("{name}{extras}=={version}"),
        Source::Newest { name, specifiers, .. } => format!("{name}{extras}{specifiers}"),
        _ => requested.text.clone(),
    }
}

/// A constraint for uv.
fn constraint_text(constraint: &RequestedSource) -> Result<String, Failure> {
    if matches!(constraint.source, Source::Pinned { .. } | Source::Newest { .. }) {
        return Ok(requirement_text(constraint));
    }
    let message = format!("the constraint `{}` says where a project is", constraint.shown());
    let failure = Failure::new(FailureClass::InvalidSource, message)
        .with_hint("constraints bound versions; name the place as a requirement");
    Err(match &constraint.line {
        Some(line) => failure.within(line),
        None => failure,
    })
}
