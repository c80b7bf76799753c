//! Reads pylock.toml: versions 1.x, of which those after 1.0 may have keys that are not known here. Knows nothing of targets.

use std::path::{Path, PathBuf};

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{ExtraName, MarkerTree, PackageName};
use url::Url;

use super::marker;
use crate::lock::document::{Defect, Document, Item, Table, integer, package_name, read_text, table, text};
use crate::lock::error::LockError;
use crate::lock::group_name::GroupName;
use crate::lock::locked_file::{FileHash, FilePlace, LockedFile, file_name_of_url, is_file_name};
use crate::lock::marker_text::MarkerTexts;
use crate::lock::plan::TreeKind;
use crate::lock::source::{GitSource, is_whole_commit};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 64 << 20;
/// Hashes, the one that downloads are checked by first.
const BEST_HASHES: [&str; 5] = ["sha256", "sha512", "sha384", "blake2b", "sha3_256"];

/// A pylock.toml.
#[derive(Clone, Debug)]
pub struct Pylock {
    pub(super) path: PathBuf,
    pub(super) environments: Vec<MarkerTree>,
    pub(super) requires_python: VersionSpecifiers,
    pub(super) extras: Vec<ExtraName>,
    pub(super) groups: Vec<GroupName>,
    pub(super) default_groups: Vec<GroupName>,
    pub(super) packages: Vec<PylockPackage>,
}

/// A `[[packages]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct PylockPackage {
    /// Normalised.
    pub name: PackageName,
    /// None for a source tree, and for what nobody knew the version of.
    pub version: Option<Version>,
    /// The Pythons it needs; any, if it does not say.
    pub requires_python: VersionSpecifiers,
    /// How it is to be had.
    pub source: PylockSource,
    /// When it is wanted, extras and groups as `extra` atoms.
    pub(super) marker: MarkerTree,
}

/// How a package is to be had. Paths are relative to the file's directory, or absolute.
#[derive(Clone, Debug, PartialEq)]
pub enum PylockSource {
    /// One of these wheels, or this sdist.
    Files {
        /// The wheels.
        wheels: Vec<LockedFile>,
        /// What it can be built from.
        sdist: Option<LockedFile>,
        /// The project in the archive, if not at its top.
        subdirectory: Option<String>,
    },
    /// A repository at a commit.
    Git(GitSource),
    /// A source tree.
    Directory {
        /// Where it is.
        path: PathBuf,
        /// How it is to be installed.
        kind: TreeKind,
        /// The project in it, if not at its top.
        subdirectory: Option<String>,
    },
}

impl Pylock {
    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Self, LockError> {
        Self::parse(&read_text(path, LARGEST)?, path)
    }

    /// Reads `text`, which is, or is to be, the file `path`; errors name that.
    pub fn parse(text: &str, path: &Path) -> Result<Self, LockError> {
        let document = Document::parse(path, text)?;
        let root = document.root();
        let version = root.need("lock-version").and_then(major_version);
        let version = version.map_err(|defect| document.error(defect))?;
        if version != 1 {
            return Err(LockError::UnknownVersion { file: path.to_owned(), version });
        }
        read(&root, path).map_err(|defect| document.error(defect))
    }

    /// The file it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The groups that are wanted if nobody says otherwise.
    pub fn default_groups(&self) -> &[GroupName] {
        &self.default_groups
    }

    /// All packages, in the file's order.
    pub fn packages(&self) -> &[PylockPackage] {
        &self.packages
    }
}

fn major_version(item: &Item<'_>) -> Result<i64, Defect> {
    let version = text(item)?;
    let major = version.split('.').next().and_then(|major| major.parse().ok());
    major.ok_or_else(|| Defect::new(item, format!("`{version}` is not a version such as 1.0")))
}

fn read(root: &Table<'_>, path: &Path) -> Result<Pylock, Defect> {
    let mut markers = MarkerTexts::default();
    let environments = root.array("environments")?.map(|item| markers.parse_item(item));
    let environments = environments.collect::<Result<_, _>>()?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let packages = root.array("packages")?.map(|item| package(&table(item)?, directory, &mut markers));
    Ok(Pylock {
        path: path.to_owned(),
        environments,
        requires_python: root.parsed("requires-python")?.unwrap_or_default(),
        extras: root.parsed_list("extras")?,
        groups: root.parsed_list("dependency-groups")?,
        default_groups: root.parsed_list("default-groups")?,
        packages: packages.collect::<Result<_, _>>()?,
    })
}

fn package(
    package: &Table<'_>,
    directory: &Path,
    markers: &mut MarkerTexts,
) -> Result<PylockPackage, Defect> {
    let marker = match package.get("marker") {
        Some(item) => marker::parse(text(item)?, markers).map_err(|reason| Defect::new(item, reason))?,
        None => MarkerTree::TRUE,
    };
    Ok(PylockPackage {
        name: package_name(package.need("name")?)?,
        version: package.parsed("version")?,
        requires_python: package.parsed("requires-python")?.unwrap_or_default(),
        source: source(package, directory)?,
        marker,
    })
}

/// Only one of the four ways may be there; a package without any has nothing to install.
fn source(package: &Table<'_>, directory: &Path) -> Result<PylockSource, Defect> {
    let has_files = package.get("wheels").is_some() || package.get("sdist").is_some();
    let ways = ["vcs", "directory", "archive"].map(|key| package.get(key).is_some());
    if ways.iter().filter(|there| **there).count() + usize::from(has_files) > 1 {
        return Err(package.defect("may have only one of vcs, directory, archive, and sdist with wheels"));
    }
    if let Some(vcs) = package.table("vcs")? {
        return git(&vcs, directory).map(PylockSource::Git);
    }
    if let Some(tree) = package.table("directory")? {
        let is_editable = tree.boolean("editable")?.unwrap_or_default();
        return Ok(PylockSource::Directory {
            path: text(tree.need("path")?)?.into(),
            kind: if is_editable { TreeKind::Editable } else { TreeKind::Directory },
            subdirectory: subdirectory(&tree)?,
        });
    }
    if let Some(archive) = package.table("archive")? {
        let file = file(&archive)?;
        let is_wheel = file.file_name.ends_with(".whl");
        let (wheels, sdist) = if is_wheel { (vec![file], None) } else { (Vec::new(), Some(file)) };
        return Ok(PylockSource::Files { wheels, sdist, subdirectory: subdirectory(&archive)? });
    }
    let wheels = package.array("wheels")?.map(|item| file(&table(item)?)).collect::<Result<_, _>>()?;
    let sdist = package.table("sdist")?.map(|sdist| file(&sdist)).transpose()?;
    Ok(PylockSource::Files { wheels, sdist, subdirectory: None })
}

fn subdirectory(of: &Table<'_>) -> Result<Option<String>, Defect> {
    Ok(of.text("subdirectory")?.map(str::to_owned))
}

fn git(vcs: &Table<'_>, directory: &Path) -> Result<GitSource, Defect> {
    let kind = vcs.need("type")?;
    if text(kind)? != "git" {
        return Err(Defect::new(kind, "only git is known"));
    }
    let repository: Url = match (vcs.parsed("url")?, vcs.text("path")?) {
        (Some(url), _) => url,
        (None, Some(path)) => Url::from_file_path(directory.join(path))
            .map_err(|()| vcs.defect("has a path that is relative to a directory that is not known"))?,
        (None, None) => return Err(vcs.defect("has neither `url` nor `path`")),
    };
    let commit = vcs.need("commit-id")?;
    if !is_whole_commit(text(commit)?) {
        return Err(Defect::new(commit, "is not the id of a commit"));
    }
    let reference = vcs.text("requested-revision")?.map(str::to_owned);
    let subdirectory = subdirectory(vcs)?;
    let mut locked = repository.clone();
    for (key, value) in [("rev", &reference), ("subdirectory", &subdirectory)] {
        if let Some(value) = value {
            locked.query_pairs_mut().append_pair(key, value);
        }
    }
    let commit = text(commit)?.to_owned();
    locked.set_fragment(Some(&commit));
    Ok(GitSource { text: locked.into(), repository, reference, subdirectory, commit })
}

fn file(file: &Table<'_>) -> Result<LockedFile, Defect> {
    let place = match (file.parsed::<Url>("url")?, file.text("path")?) {
        (Some(url), _) => FilePlace::Url(url),
        (None, Some(path)) => FilePlace::Path(path.into()),
        (None, None) => return Err(file.defect("has neither `url` nor `path`")),
    };
    let name = match (file.text("name")?, &place) {
        (Some(name), _) => Some(name.to_owned()),
        (None, FilePlace::Url(url)) => file_name_of_url(url),
        (None, FilePlace::Path(path)) => path.file_name().and_then(|name| name.to_str()).map(str::to_owned),
    };
    let file_name = name
        .filter(|name| is_file_name(name))
        .ok_or_else(|| file.defect("has no name that a file can have"))?;
    let size = file.get("size").map(integer).transpose()?.and_then(|size| u64::try_from(size).ok());
    Ok(LockedFile { file_name, place, hash: best_hash(file)?, size })
}

/// The hash that a download is best checked by.
fn best_hash(file: &Table<'_>) -> Result<Option<FileHash>, Defect> {
    let place =
        |algorithm: &str| BEST_HASHES.iter().position(|best| *best == algorithm).unwrap_or(usize::MAX);
    let hashes = file.entries_of("hashes")?;
    let best = hashes.into_iter().min_by_key(|(algorithm, _)| (place(algorithm), algorithm.to_owned()));
    let Some((algorithm, item)) = best else { return Ok(None) };
    let hash = format!("{algorithm}:{}", text(item)?).parse();
    hash.map(Some).map_err(|reason: String| Defect::new(item, reason))
}
