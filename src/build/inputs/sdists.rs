//! Sdists on disk: their digests and what they say about themselves, each worked out once.
//! Knows nothing of where an sdist comes from or what is done with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use pep440_rs::Version;
use pep508_rs::PackageName;
use serde::{Deserialize, Serialize};
use url::Url;

use super::file_stamp::{is_settled, stamp};
use super::tree_place::TreePlace;
use crate::archive::read_top_level_files;
use crate::build::cache::{Cache, KeyBuilder};
use crate::build::resolve::lock::LockedSdist;
use crate::contract::{ArchiveLimits, Failure};
use crate::digest::Sha256;
use crate::packaging::core_metadata::CoreMetadata;
use crate::packaging::sdist_name::sdist_name_and_version;
use crate::step::source::project::BuildSystem;

/// An sdist that is here and can be read.
#[derive(Clone, Debug)]
pub struct Sdist {
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of the file.
    pub sha256: Sha256,
    /// Where it was fetched from, without user information; none for a file of the user's.
    pub url: Option<Url>,
    /// What it says about itself.
    pub facts: SdistFacts,
    /// The source tree that it was made of, if it was made here.
    pub origin: Option<SdistOrigin>,
}

/// The source tree that an sdist was made of.
#[derive(Clone, Debug)]
pub struct SdistOrigin {
    /// How a lock names the tree, of which another sdist may be made after the next edit.
    pub(crate) place: TreePlace,
    /// Lock entries of what made the sdist.
    pub locks: Vec<LockedSdist>,
}

/// What an sdist says about itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SdistFacts {
    /// The project, from PKG-INFO or else from the file's name.
    pub name: Option<PackageName>,
    /// The version, from PKG-INFO or else from the file's name.
    pub version: Option<Version>,
    /// `build-system.requires` (PEP 518), or why it cannot be read.
    pub requires: Result<Vec<String>, Failure>,
}

impl Sdist {
    /// The project's name, or else the file's.
    pub fn name(&self) -> String {
        let file_name = || self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.facts.name.as_ref().map_or_else(file_name, ToString::to_string)
    }

    /// `name version`, as messages show it.
    pub fn title(&self) -> String {
        match &self.facts.version {
            Some(version) => format!("{} {version}", self.name()),
            None => self.name(),
        }
    }
}

/// Reads sdists and remembers what it has read.
#[derive(Debug)]
pub struct Sdists {
    cache: Arc<Cache>,
    /// Files that we wrote ourselves: what they were when they had just been written, and their digests.
    written: Mutex<Vec<(PathBuf, String, Sha256)>>,
}

#[derive(Serialize, Deserialize)]
struct DigestEntry {
    stamp: String,
    sha256: Sha256,
}

impl Sdists {
    /// Remembers in `cache`.
    pub fn new(cache: Arc<Cache>) -> Self {
        Self { cache, written: Mutex::default() }
    }

    /// The file at `path` has just been written, with digest `sha256`.
    pub fn wrote(&self, path: &Path, sha256: Sha256) {
        if let Ok(metadata) = fs_err::metadata(path) {
            self.written.lock().push((path.to_owned(), stamp(&metadata), sha256));
        }
    }

    /// Remembers the digests of the files that were written and not changed since, so that nobody has to read them again.
    /// At the end of a run: a file that is too new may still change unseen.
    pub fn remember_written(&self) -> Result<(), Failure> {
        for (path, before, sha256) in self.written.lock().drain(..) {
            let Ok(now) = fs_err::metadata(&path) else { continue };
            if is_settled(&now) && stamp(&now) == before {
                self.cache.write("digests", digest_key(&path), &DigestEntry { stamp: before, sha256 })?;
            }
        }
        Ok(())
    }

    /// The sdist at `path`; `sha256` if the caller has checked it already.
    pub fn open(&self, path: &Path, sha256: Option<Sha256>, url: Option<Url>) -> Result<Sdist, Failure> {
        let path = fs_err::canonicalize(path)?;
        let sha256 = match sha256 {
            Some(sha256) => sha256,
            None => self.digest(&path)?,
        };
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let key = KeyBuilder::default()
            .part("crosswheel", env!("CARGO_PKG_VERSION"))
            .part("sdist", sha256.to_string())
            .part("file name", &file_name)
            .finish();
        if let Some((facts, _)) = self.cache.read("sdists", key) {
            return Ok(Sdist { path, sha256, url, facts, origin: None });
        }
        let facts = read_facts(&path, &file_name)?;
        self.cache.write("sdists", key, &facts)?;
        Ok(Sdist { path, sha256, url, facts, origin: None })
    }

    /// SHA-256 of the file at `path`, from memory if the file has not changed since.
    pub fn digest(&self, path: &Path) -> Result<Sha256, Failure> {
        let path = fs_err::canonicalize(path)?;
        let key = digest_key(&path);
        let before = fs_err::metadata(&path)?;
        if let Some((entry, _)) = self.cache.read::<DigestEntry>("digests", key)
            && entry.stamp == stamp(&before)
        {
            return Ok(entry.sha256);
        }
        let (sha256, _) = Sha256::of_file(&path)?;
        let after = fs_err::metadata(&path)?;
        if is_settled(&after) && stamp(&before) == stamp(&after) {
            self.cache.write("digests", key, &DigestEntry { stamp: stamp(&after), sha256 })?;
        }
        Ok(sha256)
    }
}

/// The key of what is remembered of the file at `path`, which has no links.
fn digest_key(path: &Path) -> Sha256 {
    KeyBuilder::default().part("path", path.as_os_str().as_encoded_bytes()).finish()
}

fn read_facts(path: &Path, file_name: &str) -> Result<SdistFacts, Failure> {
    let top = read_top_level_files(path, &["pyproject.toml", "PKG-INFO"], &ArchiveLimits::default())
        .map_err(Failure::from)?;
    let file = |name: &str| top.files.get(name).map(Vec::as_slice);
    // PKG-INFO that cannot be read is the step's to complain about; a name is good for messages.
    let metadata = file("PKG-INFO").and_then(|bytes| CoreMetadata::parse(bytes).ok());
    let (name, version) = match metadata {
        Some(metadata) => (Some(metadata.name), Some(metadata.version)),
        None => sdist_name_and_version(file_name).unzip(),
    };
    let requires = BuildSystem::parse(file("pyproject.toml"))
        .map(|system| system.requires.iter().map(ToString::to_string).collect())
        .map_err(Failure::from);
    Ok(SdistFacts { name, version, requires })
}

#[cfg(test)]
mod tests {
    use super::super::file_stamp::SETTLED;
    use super::*;
    use crate::waiting::pause;

    fn sdists() -> (tempfile::TempDir, Sdists) {
        let directory = tempfile::tempdir().unwrap();
        let cache = Arc::new(Cache::open(&directory.path().join("cache")).unwrap());
        (directory, Sdists::new(cache))
    }

    #[test]
    fn a_digest_follows_the_file() {
        let (directory, sdists) = sdists();
        let file = directory.path().join("file");
        for content in ["one", "two", "three"] {
            fs_err::write(&file, content).unwrap();
            assert_eq!(sdists.digest(&file).unwrap(), Sha256::of(content.as_bytes()));
            pause(2 * SETTLED);
            assert_eq!(sdists.digest(&file).unwrap(), Sha256::of(content.as_bytes()));
            assert_eq!(sdists.digest(&file).unwrap(), Sha256::of(content.as_bytes()));
        }
    }

    #[test]
    fn a_file_that_was_written_is_not_read_again_unless_it_changed() {
        let (directory, sdists) = sdists();
        let [kept, changed] = ["kept", "changed"].map(|name| {
            let file = fs_err::canonicalize(directory.path()).unwrap().join(name);
            fs_err::write(&file, "text").unwrap();
            // Another digest than that of the text shows where the answer comes from.
            sdists.wrote(&file, Sha256::of(b"as told"));
            file
        });
        pause(2 * SETTLED);
        fs_err::write(&changed, "more text").unwrap();
        pause(2 * SETTLED);
        sdists.remember_written().unwrap();
        assert_eq!(sdists.digest(&kept).unwrap(), Sha256::of(b"as told"));
        assert_eq!(sdists.digest(&changed).unwrap(), Sha256::of(b"more text"));
    }

    #[test]
    fn a_file_that_is_no_archive_is_refused_as_one() {
        let (directory, sdists) = sdists();
        let file = directory.path().join("a-1.0.tar.gz");
        fs_err::write(&file, "not an archive").unwrap();
        let failure = sdists.open(&file, None, None).unwrap_err();
        assert_eq!(failure.class.exit_code(), 18);
    }
}
