//! The `[[package]]` tables of a lock. First which records there are, then what they need: an edge names a record by as
//! little as tells it from others.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{ExtraName, PackageName};
use url::Url;

use super::document::{Defect, Item, Table, array, integer, name_of_key, package_name, parsed, table, text};
use super::edge::Edge;
use super::group_name::GroupName;
use super::locked_file::{FilePlace, LockedFile, file_name_of_url, is_file_name};
use super::manifest::DefaultGroups;
use super::marker_text::MarkerTexts;
use super::record::Record;
use super::record_index::RecordIndex;
use super::source::{GitSource, RecordSource, RegistryPlace};

/// Reads all records of a lock.
pub(super) fn read_records(
    packages: Vec<Table<'_>>,
    markers: &mut MarkerTexts,
) -> Result<(Vec<Record>, RecordNames), Defect> {
    let mut records = Vec::with_capacity(packages.len());
    let mut names = RecordNames::default();
    for package in &packages {
        let record = identity(package)?;
        names.add(&record, &records).map_err(|reason| package.defect(reason))?;
        records.push(record);
    }
    for (at, package) in packages.iter().enumerate() {
        let contents =
            Contents { package, records: &records, names: &names, markers: &mut *markers }.read()?;
        let record = &mut records[at];
        *record = Record {
            name: record.name.clone(),
            version: record.version.clone(),
            source: record.source.clone(),
            ..contents
        };
    }
    Ok((records, names))
}

/// The records of each name.
#[derive(Clone, Debug, Default)]
pub(super) struct RecordNames {
    by_name: HashMap<PackageName, Vec<RecordIndex>>,
}

impl RecordNames {
    /// In the lock's order.
    pub(super) fn named(&self, name: &PackageName) -> &[RecordIndex] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, record: &Record, records: &[Record]) -> Result<(), String> {
        let same_name = self.by_name.entry(record.name.clone()).or_default();
        let is_same = |other: &RecordIndex| {
            let other = &records[other.position()];
            other.version == record.version && other.source == record.source
        };
        if same_name.iter().any(is_same) {
            return Err(format!("{record} from {} is there twice", record.source));
        }
        same_name
            .push(RecordIndex(u32::try_from(records.len()).map_err(|_| "too many packages".to_owned())?));
        Ok(())
    }
}

/// The record's name, version and source, and nothing else yet.
fn identity(package: &Table<'_>) -> Result<Record, Defect> {
    Ok(Record {
        name: package_name(package.need("name")?)?,
        version: package.parsed("version")?,
        source: source(package.need("source")?)?,
        resolution_markers: Vec::new(),
        dependencies: Vec::new(),
        optional_dependencies: BTreeMap::new(),
        dependency_groups: BTreeMap::new(),
        default_groups: None,
        group_requires_python: BTreeMap::new(),
        provides_extras: Vec::new(),
        declared_groups: Vec::new(),
        sdist: None,
        wheels: Vec::new(),
    })
}

pub(super) fn source(item: &Item<'_>) -> Result<RecordSource, Defect> {
    let source = table(item)?;
    let path = |key| Ok::<_, Defect>(source.text(key)?.map(PathBuf::from));
    if let Some(registry) = source.text("registry")? {
        return Ok(RecordSource::Registry(match registry.contains("://") {
            true => RegistryPlace::Url(parsed(source.need("registry")?)?),
            false => RegistryPlace::Directory(registry.into()),
        }));
    }
    if let Some(git) = source.get("git") {
        return git_source(text(git)?).map(RecordSource::Git).map_err(|reason| Defect::new(git, reason));
    }
    if let Some(url) = source.parsed::<Url>("url")? {
        let subdirectory = source.text("subdirectory")?.map(str::to_owned);
        return Ok(RecordSource::Url { url, subdirectory });
    }
    if let Some(path) = path("path")? {
        return Ok(RecordSource::Path(path));
    }
    if let Some(path) = path("directory")? {
        return Ok(RecordSource::Directory(path));
    }
    if let Some(path) = path("editable")? {
        return Ok(RecordSource::Editable(path));
    }
    if let Some(path) = path("virtual")? {
        return Ok(RecordSource::Virtual(path));
    }
    let known = "registry, git, url, path, directory, editable and virtual";
    Err(Defect::new(item, format!("is none of the known sources: {known}")))
}

/// `URL?rev=…&subdirectory=…#COMMIT`
fn git_source(text: &str) -> Result<GitSource, String> {
    let mut repository: Url = text.parse().map_err(|error| format!("is not a URL: {error}"))?;
    let commit = repository.fragment().unwrap_or_default().to_owned();
    if !matches!(commit.len(), 40 | 64) || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("has no commit after `#`".to_owned());
    }
    let (mut reference, mut subdirectory) = (None, None);
    for (key, value) in repository.query_pairs() {
        match &*key {
            "rev" | "tag" | "branch" => reference = Some(value.into_owned()),
            "subdirectory" => subdirectory = Some(value.into_owned()),
            _ => {}
        }
    }
    repository.set_query(None);
    repository.set_fragment(None);
    Ok(GitSource { text: text.to_owned(), repository, reference, subdirectory, commit })
}

/// What a record is besides its identity.
struct Contents<'a, 'r> {
    package: &'a Table<'a>,
    records: &'r [Record],
    names: &'r RecordNames,
    markers: &'r mut MarkerTexts,
}

impl Contents<'_, '_> {
    fn read(mut self) -> Result<Record, Defect> {
        let package = self.package;
        let mut record = identity(package)?;
        for item in package.array("resolution-markers")? {
            record.resolution_markers.push(self.markers.parse_item(item)?);
        }
        if let Some(dependencies) = package.get("dependencies") {
            record.dependencies = self.edges(dependencies)?;
        }
        for (extra, dependencies) in package.entries_of("optional-dependencies")? {
            record.optional_dependencies.insert(name_of_key(extra, dependencies)?, self.edges(dependencies)?);
        }
        for spelling in ["dependency-groups", "dev-dependencies"] {
            for (group, dependencies) in package.entries_of(spelling)? {
                record.dependency_groups.insert(name_of_key(group, dependencies)?, self.edges(dependencies)?);
            }
        }
        record.default_groups = package.get("default-groups").map(default_groups).transpose()?;
        record.group_requires_python = group_requires_python(package)?;
        if let Some(metadata) = package.table("metadata")? {
            record.provides_extras = metadata.parsed_list("provides-extras")?;
            for (group, dependencies) in metadata.entries_of("requires-dev")? {
                record.declared_groups.push(name_of_key(group, dependencies)?);
            }
        }
        record.sdist = package.get("sdist").map(|item| sdist(item, &record.source)).transpose()?;
        record.wheels =
            package.array("wheels")?.map(|item| wheel(item, &record.source)).collect::<Result<_, _>>()?;
        Ok(record)
    }

    fn edges(&mut self, dependencies: &Item<'_>) -> Result<Vec<Edge>, Defect> {
        array(dependencies)?.map(|item| self.edge(item)).collect()
    }

    fn edge(&mut self, item: &Item<'_>) -> Result<Edge, Defect> {
        let dependency = table(item)?;
        let to = self.record_of(item, &dependency)?;
        let extras = match dependency.get("extra") {
            Some(extra) if extra.get_ref().is_str() => vec![parsed(extra)?],
            _ => dependency.parsed_list("extra")?,
        };
        Ok(Edge { to, extras, marker: self.markers.parse_key(&dependency)? })
    }

    /// The one record an edge can mean.
    fn record_of(&self, item: &Item<'_>, dependency: &Table<'_>) -> Result<RecordIndex, Defect> {
        let name = package_name(dependency.need("name")?)?;
        let named = self.names.named(&name);
        let version: Option<Version> = dependency.parsed("version")?;
        let from = dependency.get("source").map(source).transpose()?;
        let fits = |index: &&RecordIndex| {
            let record = &self.records[index.position()];
            (version.is_none() || version == record.version)
                && from.as_ref().is_none_or(|source| *source == record.source)
        };
        let fitting: Vec<_> = named.iter().filter(fits).copied().collect();
        match fitting[..] {
            [one] => Ok(one),
            [] if named.is_empty() => Err(Defect::new(item, format!("there is no package `{name}`"))),
            [] => Err(Defect::new(item, format!("no package `{name}` has that version and source"))),
            _ => Err(Defect::new(item, format!("{} packages `{name}` are meant", fitting.len()))),
        }
    }
}

/// `"all"` or a list of groups.
pub(super) fn default_groups(item: &Item<'_>) -> Result<DefaultGroups, Defect> {
    match item.get_ref().as_str() {
        Some("all") => Ok(DefaultGroups::All),
        Some(_) => Err(Defect::new(item, "only `all` or a list of groups are known")),
        None => Ok(DefaultGroups::These(array(item)?.map(parsed).collect::<Result<_, _>>()?)),
    }
}

pub(super) fn group_requires_python(
    of: &Table<'_>,
) -> Result<BTreeMap<GroupName, VersionSpecifiers>, Defect> {
    let one = |(group, item)| Ok((name_of_key(group, item)?, parsed(item)?));
    of.entries_of("group-requires-python")?.into_iter().map(one).collect()
}

fn wheel(item: &Item<'_>, source: &RecordSource) -> Result<LockedFile, Defect> {
    let file = table(item)?;
    if let (Some(name), RecordSource::Path(path)) = (file.text("filename")?, source) {
        return with_name(item, &file, name.to_owned(), FilePlace::Path(path.clone()));
    }
    located(item, &file, source)
}

fn sdist(item: &Item<'_>, source: &RecordSource) -> Result<LockedFile, Defect> {
    located(item, &table(item)?, source)
}

/// A file that has a `url` or a `path`, or is the source itself.
fn located(item: &Item<'_>, file: &Table<'_>, source: &RecordSource) -> Result<LockedFile, Defect> {
    let place = match (file.parsed::<Url>("url")?, file.text("path")?, source) {
        (Some(url), _, _) => FilePlace::Url(url),
        (None, Some(path), RecordSource::Registry(RegistryPlace::Directory(directory))) => {
            FilePlace::Path(directory.join(path))
        }
        (None, Some(path), _) => FilePlace::Path(path.into()),
        (None, None, RecordSource::Url { url, .. }) => FilePlace::Url(url.clone()),
        (None, None, RecordSource::Path(path)) => FilePlace::Path(path.clone()),
        (None, None, _) => return Err(Defect::new(item, "has neither `url` nor `path`")),
    };
    let name = match &place {
        FilePlace::Url(url) => file_name_of_url(url),
        FilePlace::Path(path) => name_of_path(path),
    };
    let name = name.ok_or_else(|| Defect::new(item, "does not end in the name of a file"))?;
    with_name(item, file, name, place)
}

fn name_of_path(path: &Path) -> Option<String> {
    path.file_name()?.to_str().map(str::to_owned)
}

fn with_name(
    item: &Item<'_>,
    file: &Table<'_>,
    file_name: String,
    place: FilePlace,
) -> Result<LockedFile, Defect> {
    if !is_file_name(&file_name) {
        return Err(Defect::new(item, format!("`{file_name}` is not the name of a file")));
    }
    let size = file.get("size").map(integer).transpose()?.and_then(|size| u64::try_from(size).ok());
    Ok(LockedFile { file_name, place, hash: file.parsed("hash")?, size })
}

impl MarkerTexts {
    /// The marker that `item` is.
    pub(super) fn parse_item(&mut self, item: &Item<'_>) -> Result<pep508_rs::MarkerTree, Defect> {
        self.parse(text(item)?).map_err(|reason| Defect::new(item, reason))
    }

    /// The `marker` of `of`; true if there is none.
    pub(super) fn parse_key(&mut self, of: &Table<'_>) -> Result<pep508_rs::MarkerTree, Defect> {
        of.get("marker").map_or(Ok(pep508_rs::MarkerTree::TRUE), |item| self.parse_item(item))
    }
}

/// The extras a requirement of the manifest names.
pub(super) fn extras_of(requirement: &Table<'_>) -> Result<Vec<ExtraName>, Defect> {
    requirement.parsed_list("extras")
}
