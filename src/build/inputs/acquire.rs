//! Getting sdists: from a file, a URL or an index, checked by hash wherever one is known, or made of source trees.
//! Knows nothing of what is done with them.

use std::path::{Path, PathBuf};

use pep440_rs::Version;
use pep508_rs::PackageName;
use serde::{Deserialize, Serialize};
use url::Url;

use super::choice::VersionWish;
use super::directory::TreeSource;
use super::requested::RequestedSource;
use super::sdists::Sdist;
use super::source::Source;
use super::tree_place::TreePlace;
use crate::archive::unpack;
use crate::build::builder::Builder;
use crate::build::cache::{FRESH, KeyBuilder};
use crate::build::customisation::Customisation;
use crate::build::index::download::file_name_of;
use crate::build::index::http::{FetchError, HashMismatch};
use crate::build::index::simple_api::IndexSdist;
use crate::build::progress::Task;
use crate::build::run::Run;
use crate::build::steps::step_action::with_settings;
use crate::contract::{ArchiveLimits, Failure, FailureClass};
use crate::digest::Sha256;

/// Where a pinned version, or a URL without a hash, was found to lead.
#[derive(Serialize, Deserialize)]
struct Located {
    url: Url,
    sha256: Option<Sha256>,
}

impl Builder {
    /// The sdist that `requested` leads to, where it is built with this Python, and has one of the hashes that were
    /// asked for; also which version was chosen, if that was left open.
    pub(crate) fn acquire_requested(
        &self,
        requested: &RequestedSource,
        task: &Task,
    ) -> Result<(Source, Sdist), Failure> {
        let is_tree = matches!(requested.source, Source::Git(_) | Source::Directory(_));
        if is_tree && !requested.hashes.is_empty() {
            return Err(unpinnable(requested));
        }
        let python = &self.interpreter.markers.python_full_version().version;
        let source = match &requested.source {
            Source::Newest { name, specifiers, prereleases } => {
                let wish = VersionWish { name, specifiers, prereleases: *prereleases, python };
                Source::Pinned { name: name.clone(), version: self.run.choose_version(&wish, task)? }
            }
            source => source.clone(),
        };
        let sdist = self.acquire(source.clone(), &self.run.customisation, task)?;
        // Of an archive that an sdist is yet to be made of, it is the archive that has a hash.
        if !source.is_tree() {
            requested.hashes.check(&sdist.path, sdist.sha256)?;
        }
        Ok((source, sdist))
    }

    /// The sdist `source` names. Which version is the newest is not for this to decide. What is a source tree is made
    /// into an sdist here, as `custom` says, once for all targets: whoever asks first has it made.
    pub(crate) fn acquire(
        &self,
        source: Source,
        custom: &Customisation,
        task: &Task,
    ) -> Result<Sdist, Failure> {
        let run = &self.run;
        let key = |of: &str| {
            let pins = custom.pins.iter().map(|(name, version)| format!("{name}=={version}"));
            with_settings(KeyBuilder::default().part("tree sdist", of), custom)
                .parts("build requirement", &custom.build_requires)
                .parts("pin", pins)
                .finish()
        };
        match source.without_login(run.http.credentials()) {
            Source::File(path) => run.sdists.open(&path, None, None),
            Source::Url { url, sha256, subdirectory: None, .. } => run.fetched_sdist(&url, sha256, task),
            Source::Pinned { name, version } => run.indexed_version(&name, Some(&version), task),
            Source::Newest { name, .. } => run.indexed_version(&name, None, task),
            Source::Directory(project) => {
                let project = fs_err::canonicalize(&project)?;
                let shown = project.display().to_string();
                let make = || {
                    let source =
                        TreeSource { project: &project, top: None, shown: shown.clone(), place: None };
                    self.tree_sdist(&run.tree(source, task)?, custom, task)
                };
                run.tree_sdists.once(&run.cache, key(&shown), make)
            }
            Source::Git(git) => run.tree_sdists.once(&run.cache, key(&format!("{git:?}")), || {
                let checkout = run.checkout(&git, task)?;
                self.tree_sdist(&run.tree(checkout.tree(&git), task)?, custom, task)
            }),
            Source::Url { url, sha256, hashes, subdirectory: Some(subdirectory) } => {
                let (archive, sha256) = run.fetched_file(&url, sha256, task)?;
                hashes.check(&archive, sha256)?;
                let key = key(&format!("{url} {subdirectory} {sha256:?}"));
                run.tree_sdists.once(&run.cache, key, || {
                    self.archive_subdirectory_sdist(&url, &archive, sha256, &subdirectory, custom, task)
                })
            }
        }
    }

    /// The sdist of the project in a directory of the archive at `url`, which is no sdist itself.
    fn archive_subdirectory_sdist(
        &self,
        url: &Url,
        archive: &Path,
        sha256: Sha256,
        subdirectory: &str,
        custom: &Customisation,
        task: &Task,
    ) -> Result<Sdist, Failure> {
        let run = &self.run;
        let place = run.cache.unpacked_archive(sha256);
        if !place.is_dir() {
            let made = run.cache.temporary_directory()?;
            unpack(archive, &made.path().join("tree"), &ArchiveLimits::default()).map_err(Failure::from)?;
            run.cache.publish_directory(&made.path().join("tree"), &place)?;
        }
        let mut tops = fs_err::read_dir(&place)?.flatten();
        let top = fs_err::canonicalize(tops.next().map_or(place.clone(), |top| top.path()))?;
        let shown = format!("{url}#subdirectory={subdirectory}");
        let project =
            fs_err::canonicalize(top.join(subdirectory)).ok().filter(|project| project.starts_with(&top));
        let Some(project) = project.filter(|project| project.is_dir()) else {
            let message = format!("{url} has no directory {subdirectory}");
            return Err(Failure::new(FailureClass::InvalidSource, message));
        };
        let tree = format!("{url}#sha256={sha256}&subdirectory={subdirectory}");
        let place = Some(TreePlace { tree, commit: None });
        let source = TreeSource { project: &project, top: Some(&top), shown, place };
        self.tree_sdist(&run.tree(source, task)?, custom, task)
    }
}

fn unpinnable(requested: &RequestedSource) -> Failure {
    let message = format!("{} is a source tree, which has no hash to check", requested.shown());
    Failure::new(FailureClass::InvalidSource, message).with_hint("name an archive of it")
}

impl Run {
    /// The sdist of `version` of `name`, looked up in the index unless that was done a moment ago.
    pub(crate) fn indexed_version(
        &self,
        name: &PackageName,
        version: Option<&Version>,
        task: &Task,
    ) -> Result<Sdist, Failure> {
        let shown = version.map_or_else(|| name.to_string(), |version| format!("{name}=={version}"));
        let mut key = KeyBuilder::default()
            .part("sdist", &shown)
            .part("exclude-newer", self.settings.cutoffs.key())
            .parts("index", self.settings.indexes.iter().map(Url::as_str));
        for place in &self.settings.find_links {
            key = key.part("find-links", place.stamp()?);
        }
        let key = key.finish();
        if let Some(located) = self.remembered_location(key) {
            return self.fetched_sdist(&located.url, located.sha256, task);
        }
        task.stage("looking up the sdist");
        let offered = self.index.sdists(name)?;
        let sdists = &offered.sdists;
        let wanted = |sdist: &&IndexSdist| version.is_none_or(|version| sdist.version == *version);
        let Some(found) = sdists.iter().find(wanted) else {
            let others: Vec<String> = sdists.iter().take(10).map(|sdist| sdist.version.to_string()).collect();
            let failure = Failure::new(FailureClass::FetchFailed, format!("there is no sdist of {shown}"));
            let is_wanted = |found: &Version| version.is_none_or(|version| version == found);
            if let Some(hint) = offered.hint(&self.settings.cutoffs, is_wanted) {
                return Err(failure.with_hint(hint));
            }
            return Err(match others.as_slice() {
                [] => failure.with_hint("no index or find-links has any sdist of it"),
                others => failure.with_hint(format!("there are sdists of {}", others.join(", "))),
            });
        };
        let sdist = self.indexed_sdist(found, task)?;
        let located = Located { url: found.file.url.clone(), sha256: Some(sdist.sha256) };
        self.cache.write("locations", key, &located)?;
        Ok(sdist)
    }

    /// An sdist the index told us of.
    pub(crate) fn indexed_sdist(&self, sdist: &IndexSdist, task: &Task) -> Result<Sdist, Failure> {
        self.fetched_sdist(&sdist.file.url, sdist.file.sha256, task)
    }

    /// The sdist at `url`. A URL that promises no hash is trusted to hold the same for a while.
    pub(crate) fn fetched_sdist(
        &self,
        url: &Url,
        sha256: Option<Sha256>,
        task: &Task,
    ) -> Result<Sdist, Failure> {
        let (path, found) = self.fetched_file(url, sha256, task)?;
        self.sdists.open(&path, Some(found), Some(url.clone()))
    }

    /// The file at `url`, and its digest.
    fn fetched_file(
        &self,
        url: &Url,
        sha256: Option<Sha256>,
        task: &Task,
    ) -> Result<(PathBuf, Sha256), Failure> {
        if let ("file", Ok(path)) = (url.scheme(), url.to_file_path()) {
            let found = self.sdists.digest(&path)?;
            if let Some(expected) = sha256.filter(|expected| *expected != found) {
                return Err(FetchError::from(HashMismatch { url: url.clone(), expected, found }).into());
            }
            return Ok((path, found));
        }
        let file_name = file_name_of(url)?;
        let key = KeyBuilder::default().part("url", url.as_str()).finish();
        let known = sha256.or_else(|| self.remembered_location(key)?.sha256);
        let (path, found) = self.fetch(url, known, &file_name, task)?;
        if known.is_none() {
            self.cache.write("locations", key, &Located { url: url.clone(), sha256: Some(found) })?;
        }
        Ok((path, found))
    }

    /// A file in the cache, fetched if it is not there.
    pub(crate) fn fetch(
        &self,
        url: &Url,
        sha256: Option<Sha256>,
        file_name: &str,
        task: &Task,
    ) -> Result<(PathBuf, Sha256), Failure> {
        self.downloads.fetch(url, sha256, file_name, |received, total| task.bytes(file_name, received, total))
    }

    fn remembered_location(&self, key: Sha256) -> Option<Located> {
        let (located, age) = self.cache.read::<Located>("locations", key)?;
        (self.settings.offline || (age < FRESH && !self.options.refresh)).then_some(located)
    }
}
