//! What `[tool.uv]` or uv.toml says that the lock does not hold: how packages are built, and where files are found.

use std::collections::{BTreeMap, BTreeSet};

use pep508_rs::{PackageName, Requirement, VerbatimUrl};

use super::document::{Defect, Item, Table, array, name_of_key, package_name, table, text};
use crate::packaging::requirement_text::parse_requirement;

/// Settings of a project, as far as they count for what is installed from its lock. Paths are relative to the root of the
/// workspace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProjectSettings {
    /// `no-binary`: build everything.
    pub no_binary: bool,
    /// `no-binary-package`: build these.
    pub no_binary_packages: BTreeSet<PackageName>,
    /// `no-build`: build nothing.
    pub no_build: bool,
    /// `no-build-package`: do not build these.
    pub no_build_packages: BTreeSet<PackageName>,
    /// `no-build-isolation`: all are built in the environment they are to be installed into.
    pub no_build_isolation: bool,
    /// `no-build-isolation-package`: these are.
    pub no_build_isolation_packages: BTreeSet<PackageName>,
    /// `config-settings`: what every backend is told (PEP 517); a key with several values is a list there.
    pub config_settings: ConfigSettings,
    /// `config-settings-package`: what the backends of these are told.
    pub config_settings_packages: BTreeMap<PackageName, ConfigSettings>,
    /// `extra-build-dependencies`: what these need to be built, beside what they say.
    pub extra_build_dependencies: BTreeMap<PackageName, Vec<ExtraBuildDependency>>,
    /// `extra-build-variables`: variables of the environment these are built in.
    pub extra_build_variables: BTreeMap<PackageName, BTreeMap<String, String>>,
    /// `[[index]]`, in order of priority.
    pub indexes: Vec<ProjectIndex>,
    /// `index-url`.
    pub index_url: Option<String>,
    /// `extra-index-url`.
    pub extra_index_urls: Vec<String>,
    /// `find-links`: directories or URLs.
    pub find_links: Vec<String>,
    /// `no-index`: only `find-links` count.
    pub no_index: bool,
    /// `exclude-newer`: a date, a time or a span.
    pub exclude_newer: Option<String>,
}

/// What a backend is told: keys with one value or several.
pub type ConfigSettings = BTreeMap<String, Vec<String>>;

/// An entry of `extra-build-dependencies`.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtraBuildDependency {
    /// What is needed.
    pub requirement: Requirement<VerbatimUrl>,
    /// Whether it has to have the version that is installed with the package.
    pub match_runtime: bool,
}

/// An `[[index]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectIndex {
    /// Its name.
    pub name: Option<String>,
    /// Its URL, or a path.
    pub url: String,
    /// Whether it stands in for PyPI.
    pub default: bool,
    /// Whether only those packages are looked for there whose source says so.
    pub explicit: bool,
    /// Whether it is a page of links (`format = "flat"`) rather than an index.
    pub flat: bool,
}

impl ProjectSettings {
    /// The settings in a `[tool.uv]`, or in a uv.toml.
    pub(super) fn read(uv: &Table<'_>) -> Result<Self, Defect> {
        // `[pip]` counts for `uv pip` alone.
        Ok(Self {
            no_binary: uv.boolean("no-binary")?.unwrap_or(false),
            no_binary_packages: packages(uv, "no-binary-package")?,
            no_build: uv.boolean("no-build")?.unwrap_or(false),
            no_build_packages: packages(uv, "no-build-package")?,
            no_build_isolation: uv.boolean("no-build-isolation")?.unwrap_or(false),
            no_build_isolation_packages: packages(uv, "no-build-isolation-package")?,
            config_settings: uv.get("config-settings").map(config_settings).transpose()?.unwrap_or_default(),
            config_settings_packages: by_package(uv, "config-settings-package", config_settings)?,
            extra_build_dependencies: by_package(uv, "extra-build-dependencies", |item| {
                array(item)?.map(extra_build_dependency).collect()
            })?,
            extra_build_variables: by_package(uv, "extra-build-variables", variables)?,
            indexes: uv.array("index")?.map(index).collect::<Result<_, _>>()?,
            index_url: owned(uv, "index-url")?,
            extra_index_urls: texts(uv, "extra-index-url")?,
            find_links: texts(uv, "find-links")?,
            no_index: uv.boolean("no-index")?.unwrap_or(false),
            exclude_newer: exclude_newer(uv)?,
        })
    }
}

fn owned(uv: &Table<'_>, key: &str) -> Result<Option<String>, Defect> {
    Ok(uv.text(key)?.map(str::to_owned))
}

/// A list of texts, or one text.
fn texts(uv: &Table<'_>, key: &str) -> Result<Vec<String>, Defect> {
    uv.get(key).map_or(Ok(Vec::new()), values)
}

fn values(item: &Item<'_>) -> Result<Vec<String>, Defect> {
    match item.get_ref().as_str() {
        Some(text) => Ok(vec![text.to_owned()]),
        None => array(item)?.map(|item| Ok(text(item)?.to_owned())).collect(),
    }
}

fn packages(uv: &Table<'_>, key: &str) -> Result<BTreeSet<PackageName>, Defect> {
    uv.array(key)?.map(package_name).collect()
}

fn by_package<T>(
    uv: &Table<'_>,
    key: &str,
    read: impl Fn(&Item<'_>) -> Result<T, Defect>,
) -> Result<BTreeMap<PackageName, T>, Defect> {
    let one = |(name, item)| Ok((name_of_key(name, item)?, read(item)?));
    uv.entries_of(key)?.into_iter().map(one).collect()
}

fn config_settings(item: &Item<'_>) -> Result<ConfigSettings, Defect> {
    let one = |(key, item): (&str, &Item<'_>)| Ok((key.to_owned(), setting_values(item)?));
    table(item)?.entries().map(one).collect()
}

/// uv takes booleans and numbers, too, and says them as TOML does.
fn setting_values(item: &Item<'_>) -> Result<Vec<String>, Defect> {
    let value = item.get_ref();
    let number = value.as_integer().map(|number| number.as_str().to_owned());
    match value.as_bool().map(|boolean| boolean.to_string()).or(number) {
        Some(value) => Ok(vec![value]),
        None => values(item),
    }
}

/// `"torch"` or `{ requirement = "torch", match-runtime = true }`
fn extra_build_dependency(item: &Item<'_>) -> Result<ExtraBuildDependency, Defect> {
    if item.get_ref().is_str() {
        return Ok(ExtraBuildDependency { requirement: requirement(item)?, match_runtime: false });
    }
    let entry = table(item)?;
    Ok(ExtraBuildDependency {
        requirement: requirement(entry.need("requirement")?)?,
        match_runtime: entry.boolean("match-runtime")?.unwrap_or(false),
    })
}

fn requirement(item: &Item<'_>) -> Result<Requirement<VerbatimUrl>, Defect> {
    parse_requirement(text(item)?).map_err(|reason| Defect::new(item, reason))
}

fn variables(item: &Item<'_>) -> Result<BTreeMap<String, String>, Defect> {
    let one = |(name, item): (&str, &Item<'_>)| Ok((name.to_owned(), text(item)?.to_owned()));
    table(item)?.entries().map(one).collect()
}

fn index(item: &Item<'_>) -> Result<ProjectIndex, Defect> {
    let entry = table(item)?;
    Ok(ProjectIndex {
        name: owned(&entry, "name")?,
        url: text(entry.need("url")?)?.to_owned(),
        default: entry.boolean("default")?.unwrap_or(false),
        explicit: entry.boolean("explicit")?.unwrap_or(false),
        flat: entry.text("format")? == Some("flat"),
    })
}

/// A text, or a time as TOML has it.
fn exclude_newer(uv: &Table<'_>) -> Result<Option<String>, Defect> {
    let Some(item) = uv.get("exclude-newer") else { return Ok(None) };
    match item.get_ref().as_datetime() {
        Some(time) => Ok(Some(time.to_string())),
        None => Ok(Some(text(item)?.to_owned())),
    }
}
