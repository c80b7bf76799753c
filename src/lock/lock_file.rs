//! Reads uv.lock: revisions 0 to 5 of version 1, and later ones as far as they add keys. Knows nothing of pyproject.toml.

use std::path::{Path, PathBuf};

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{MarkerTree, PackageName};

use super::conflicts::{ConflictItem, ConflictKind, ConflictSet};
use super::decision::{TooComplex, both, either};
use super::document::{
    Defect, Document, Item, Table, array, integer, name_of_key, package_name, read_text, table, text,
};
use super::edge::Edge;
use super::error::LockError;
use super::manifest::{DependencyMetadata, Manifest, ManifestDependency};
use super::marker_text::MarkerTexts;
use super::record::Record;
use super::record_index::RecordIndex;
use super::record_reading::{RecordNames, default_groups, extras_of, group_requires_python, read_records};
use super::requirement::LockedRequirement;

/// The largest lock that is read, in bytes: more than ten times the largest known.
const LARGEST: u64 = 64 << 20;

/// A uv.lock.
#[derive(Clone, Debug)]
pub struct Lock {
    path: PathBuf,
    revision: i64,
    requires_python: VersionSpecifiers,
    resolution_markers: Vec<MarkerTree>,
    supported_markers: Vec<MarkerTree>,
    required_markers: Vec<MarkerTree>,
    conflicts: Vec<ConflictSet>,
    manifest: Manifest,
    records: Vec<Record>,
    names: RecordNames,
}

impl Lock {
    /// Reads the lock at `path`.
    pub fn read(path: &Path) -> Result<Self, LockError> {
        let text = read_text(path, LARGEST)?;
        Self::parse(&text, path)
    }

    /// Reads `text`, which is, or is to be, the file `path`; errors name that.
    pub fn parse(text: &str, path: &Path) -> Result<Self, LockError> {
        let document = Document::parse(path, text)?;
        let root = document.root();
        let version = root.need("version").and_then(integer).map_err(|defect| document.error(defect))?;
        if version != 1 {
            return Err(LockError::UnknownVersion { file: path.to_owned(), version });
        }
        read(&root, path).map_err(|defect| document.error(defect))
    }

    /// The file it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which revision of the format it has; 0 if it does not say.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The Pythons it was resolved for.
    pub fn requires_python(&self) -> &VersionSpecifiers {
        &self.requires_python
    }

    /// The forks of the resolution; none if there was none.
    pub fn resolution_markers(&self) -> &[MarkerTree] {
        &self.resolution_markers
    }

    /// The environments it was resolved for, one of which must hold; all, if there are none.
    pub fn supported_markers(&self) -> &[MarkerTree] {
        &self.supported_markers
    }

    /// The environments for which there had to be wheels (`required-environments`).
    pub fn required_markers(&self) -> &[MarkerTree] {
        &self.required_markers
    }

    /// What cannot be active at the same time.
    pub fn conflicts(&self) -> &[ConflictSet] {
        &self.conflicts
    }

    /// What was asked for beside the projects' own dependencies.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// All records, in the lock's order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = (RecordIndex, &Record)> {
        self.records.iter().enumerate().map(|(at, record)| (RecordIndex(at as u32), record))
    }

    /// The record at `index`, which is one of this lock's.
    pub fn record(&self, index: RecordIndex) -> &Record {
        &self.records[index.position()]
    }

    /// The records of a name, in the lock's order.
    pub fn named(&self, name: &PackageName) -> &[RecordIndex] {
        self.names.named(name)
    }
}

fn read(root: &Table<'_>, path: &Path) -> Result<Lock, Defect> {
    let mut markers = MarkerTexts::default();
    let mut packages: Vec<Table<'_>> = Vec::new();
    // The name before uv 0.3.
    for spelling in ["distribution", "package"] {
        packages.extend(root.array(spelling)?.map(table).collect::<Result<Vec<_>, _>>()?);
    }
    let (records, names) = read_records(packages, &mut markers)?;
    let manifest = match root.table("manifest")? {
        Some(manifest) => {
            ManifestReading { records: &records, names: &names, markers: &mut markers }.read(&manifest)?
        }
        None => Manifest::default(),
    };
    let mut list = |key| root.array(key)?.map(|item| markers.parse_item(item)).collect::<Result<Vec<_>, _>>();
    Ok(Lock {
        path: path.to_owned(),
        revision: root.get("revision").map(integer).transpose()?.unwrap_or(0),
        requires_python: root.parsed("requires-python")?.unwrap_or_default(),
        resolution_markers: list("resolution-markers")?,
        supported_markers: list("supported-markers")?,
        required_markers: list("required-markers")?,
        conflicts: root.array("conflicts")?.map(conflict_set).collect::<Result<_, _>>()?,
        manifest,
        records,
        names,
    })
}

fn conflict_set(item: &Item<'_>) -> Result<ConflictSet, Defect> {
    array(item)?.map(conflict_item).collect()
}

fn conflict_item(item: &Item<'_>) -> Result<ConflictItem, Defect> {
    let entry = table(item)?;
    let package = package_name(entry.need("package")?)?;
    let kind = match (entry.parsed("extra")?, entry.parsed("group")?) {
        (Some(extra), None) => ConflictKind::Extra(extra),
        (None, Some(group)) => ConflictKind::Group(group),
        (None, None) => ConflictKind::Project,
        (Some(_), Some(_)) => return Err(Defect::new(item, "is both an extra and a group")),
    };
    Ok(ConflictItem { package, kind })
}

struct ManifestReading<'r> {
    records: &'r [Record],
    names: &'r RecordNames,
    markers: &'r mut MarkerTexts,
}

impl ManifestReading<'_> {
    fn read(mut self, manifest: &Table<'_>) -> Result<Manifest, Defect> {
        let mut read = Manifest {
            members: manifest.array("members")?.map(package_name).collect::<Result<_, _>>()?,
            requirements: self.dependencies(manifest.array("requirements")?)?,
            default_groups: manifest.get("default-groups").map(default_groups).transpose()?,
            group_requires_python: group_requires_python(manifest)?,
            constraints: self.requirements(manifest.array("constraints")?)?,
            overrides: self.requirements(manifest.array("overrides")?)?,
            build_constraints: self.requirements(manifest.array("build-constraints")?)?,
            dependency_metadata: manifest
                .array("dependency-metadata")?
                .map(dependency_metadata)
                .collect::<Result<_, _>>()?,
            ..Manifest::default()
        };
        for (group, item) in manifest.entries_of("dependency-groups")? {
            read.dependency_groups.insert(name_of_key(group, item)?, self.dependencies(array(item)?)?);
        }
        Ok(read)
    }

    fn requirements<'a>(
        &mut self,
        items: impl Iterator<Item = &'a Item<'a>>,
    ) -> Result<Vec<LockedRequirement>, Defect> {
        items.map(|item| self.requirement(&table(item)?)).collect()
    }

    fn dependencies<'a>(
        &mut self,
        items: impl Iterator<Item = &'a Item<'a>>,
    ) -> Result<Vec<ManifestDependency>, Defect> {
        items.map(|item| self.dependency(item)).collect()
    }

    fn dependency(&mut self, item: &Item<'_>) -> Result<ManifestDependency, Defect> {
        let requirement = self.requirement(&table(item)?)?;
        let named = self.names.named(&requirement.name);
        if named.is_empty() {
            return Err(Defect::new(item, format!("there is no package `{}`", requirement.name)));
        }
        let mut candidates = Vec::with_capacity(named.len());
        for index in named {
            let marker = condition(&requirement.marker, &self.records[index.position()])
                .map_err(|error| Defect::new(item, error.to_string()))?;
            candidates.push(Edge { to: *index, extras: requirement.extras.clone(), marker });
        }
        Ok(ManifestDependency { requirement, candidates })
    }

    fn requirement(&mut self, entry: &Table<'_>) -> Result<LockedRequirement, Defect> {
        let mut place = None;
        for key in ["url", "git", "path", "directory", "editable", "virtual"] {
            if let Some(text) = entry.text(key)? {
                let scheme = if key == "git" { "git+" } else { "" };
                place = Some(format!("{scheme}{text}"));
            }
        }
        Ok(LockedRequirement {
            name: package_name(entry.need("name")?)?,
            extras: extras_of(entry)?,
            specifier: entry.parsed("specifier")?,
            place,
            marker: self.markers.parse_key(entry)?,
        })
    }
}

/// When `record` is what a requirement with `marker` means: in one of the forks it exists in.
fn condition(marker: &MarkerTree, record: &Record) -> Result<MarkerTree, TooComplex> {
    if record.resolution_markers.is_empty() {
        return Ok(marker.clone());
    }
    let mut forks = record.resolution_markers.iter();
    let forks = forks.try_fold(MarkerTree::FALSE, |forks, fork| either(&forks, fork))?;
    both(marker, &forks)
}

fn dependency_metadata(item: &Item<'_>) -> Result<DependencyMetadata, Defect> {
    let entry = table(item)?;
    let texts =
        |key| entry.array(key)?.map(|item| Ok(text(item)?.to_owned())).collect::<Result<Vec<_>, Defect>>();
    Ok(DependencyMetadata {
        name: package_name(entry.need("name")?)?,
        version: entry.parsed::<Version>("version")?,
        requires_dist: texts("requires-dist")?,
        requires_python: entry.parsed("requires-python")?,
        provides_extra: texts("provides-extra")?,
    })
}
