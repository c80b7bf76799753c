//! Where packages come from: flags win over environment variables, those over configuration files,
//! and what uv is told over what pip is told. Each setting is decided on its own.
//! Knows nothing of how an index is read; turns texts into URLs and keeps logins aside.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use pep508_rs::PackageName;
use url::Url;

use super::layer::{Environment, SettingsLayer, is_true};
use super::{pip_config, uv_config};
use crate::build::index::credentials::{Credentials, Login, redact_urls};
use crate::build::index::cutoff::{Cutoff, Cutoffs};
use crate::build::index::simple_api::FindLinks;
use crate::contract::{Failure, FailureClass};

const PYPI: &str = "https://pypi.org/simple/";

/// What the flags of `crosswheel build` say.
#[derive(Clone, Debug, Default)]
pub struct IndexFlags {
    /// `--index-url`, `--extra-index-url`, `--find-links`, `--no-index` and `--constraint`.
    pub layer: SettingsLayer,
    /// `--offline`.
    pub offline: bool,
    /// What a project says for what is built for it.
    pub project: ProjectIndexes,
}

/// What the settings of a project say (`[tool.uv]`). Paths are absolute.
#[derive(Clone, Debug, Default)]
pub struct ProjectIndexes {
    /// Where packages come from.
    pub layer: SettingsLayer,
    /// Indexes that only packages that name them come from; never build requirements.
    pub explicit: Vec<String>,
    /// Constraints on build requirements (PEP 508).
    pub build_constraints: Vec<String>,
}

/// Where packages come from, decided.
#[derive(Clone, Debug, Default)]
pub struct IndexSettings {
    /// Indexes in the order they are asked, without user information. Empty with `--no-index`.
    pub indexes: Vec<Url>,
    /// Places that list files.
    pub find_links: Vec<FindLinks>,
    /// Whether indexes are off.
    pub no_index: bool,
    /// Whether the network is off.
    pub offline: bool,
    /// Files (or URLs) of constraints on build requirements, all of which apply.
    pub constraints: Vec<String>,
    /// Those of them that are constraints on whatever is installed.
    pub general_constraints: Vec<String>,
    /// Constraints from uv's configuration (PEP 508).
    pub inline_constraints: Vec<String>,
    /// From when on what was uploaded does not count.
    pub cutoffs: Cutoffs,
    /// What uv does not find out by itself.
    pub for_uv: ForUv,
    /// Everything uv's answer depends on beyond our own settings, for cache keys. Holds secrets.
    pub uv_surroundings: String,
}

/// Settings to hand to uv, in variables and not in arguments, which every user of a machine can
/// read. They hold secrets.
#[derive(Clone, Default)]
pub struct ForUv {
    /// For `UV_DEFAULT_INDEX`.
    pub default_index: Option<String>,
    /// For `UV_INDEX`.
    pub extra_indexes: Vec<String>,
    /// For `UV_FIND_LINKS`: everything uv is to see except for what its own files say.
    pub find_links: Vec<String>,
}

impl std::fmt::Debug for ForUv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ForUv(****)")
    }
}

impl IndexSettings {
    /// Decides, and hands every login it meets to `credentials`.
    pub fn decide(
        flags: &IndexFlags,
        environment: &Environment,
        credentials: &Credentials,
    ) -> Result<Self, Failure> {
        let uv_files = uv_config::read(environment)?;
        // In order of precedence. What uv knows by itself need not be handed to it.
        let flag_layer = flags.layer.clone();
        let layers = [
            (flag_layer, false),
            (uv_variables(environment), true),
            (existing_only(pip_variables(environment)), false),
            (flags.project.layer.clone(), false),
            (uv_files.layer, true),
            (existing_only(pip_config::read(environment)), false),
        ];
        let mut settings = Self {
            no_index: layers.iter().find_map(|(layer, _)| layer.no_index).unwrap_or(false),
            offline: flags.offline || environment.get("UV_OFFLINE").is_some_and(is_true),
            inline_constraints: [flags.project.build_constraints.clone(), uv_files.build_constraints]
                .concat(),
            uv_surroundings: uv_files.text,
            ..Self::default()
        };
        for (name, value) in environment.variables.iter().filter(|(name, _)| name.starts_with("UV_")) {
            settings.uv_surroundings.push_str(&format!("\0{name}={value}"));
        }
        settings.decide_cutoffs(&layers, &uv_files.exclude_newer_package)?;
        settings.decide_indexes(&layers, environment, credentials)?;
        for explicit in &flags.project.explicit {
            // For its login.
            parse_index(explicit, environment, credentials)?;
        }
        settings.decide_find_links(&layers, credentials)?;
        let general = layers.iter().flat_map(|(layer, _)| &layer.constraints);
        settings.general_constraints = distinct_files(general)?;
        let all =
            layers.iter().flat_map(|(layer, _)| layer.constraints.iter().chain(&layer.build_constraints));
        settings.constraints = distinct_files(all)?;
        Ok(settings)
    }

    fn decide_cutoffs(
        &mut self,
        layers: &[(SettingsLayer, bool)],
        projects: &BTreeMap<PackageName, String>,
    ) -> Result<(), Failure> {
        const NAMES: [&str; 5] = [
            "--exclude-newer",
            "UV_EXCLUDE_NEWER",
            "PIP_UPLOADED_PRIOR_TO",
            "exclude-newer in uv's configuration",
            "uploaded-prior-to in pip's configuration",
        ];
        let now = Timestamp::now();
        for (name, (layer, _)) in NAMES.iter().zip(layers) {
            let found = match (&layer.exclude_newer, &layer.uploaded_prior_to) {
                (Some(text), _) => Cutoff::parse(text, now),
                (None, Some(text)) => Cutoff::parse_of_pip(text, now),
                (None, None) => continue,
            };
            self.cutoffs.general = found.map_err(|error| invalid(format!("{name}: {error}")))?;
            self.cutoffs.switched_off = self.cutoffs.general.is_none();
            break;
        }
        for (name, text) in projects {
            let cutoff = Cutoff::parse(text, now);
            let cutoff = cutoff.map_err(|error| invalid(format!("exclude-newer-package {name}: {error}")))?;
            self.cutoffs.projects.insert(name.clone(), cutoff);
        }
        Ok(())
    }

    fn decide_indexes(
        &mut self,
        layers: &[(SettingsLayer, bool)],
        environment: &Environment,
        credentials: &Credentials,
    ) -> Result<(), Failure> {
        let default = layers.iter().find_map(|(layer, known)| Some((layer.default_index.as_ref()?, *known)));
        let extra = layers.iter().find(|(layer, _)| !layer.extra_indexes.is_empty());
        let extra = extra.map(|(layer, known)| (layer.extra_indexes.as_slice(), *known));
        if let Some((text, false)) = default {
            self.for_uv.default_index = Some(text.clone());
        }
        if let Some((texts, false)) = extra {
            self.for_uv.extra_indexes = texts.to_vec();
        }
        if self.no_index {
            return Ok(());
        }
        let extra = extra.map(|(texts, _)| texts).unwrap_or_default();
        let default = default.map_or(PYPI, |(text, _)| text);
        for text in extra.iter().map(String::as_str).chain([default]) {
            self.indexes.push(parse_index(text, environment, credentials)?);
        }
        Ok(())
    }

    fn decide_find_links(
        &mut self,
        layers: &[(SettingsLayer, bool)],
        credentials: &Credentials,
    ) -> Result<(), Failure> {
        let Some((layer, _)) = layers.iter().find(|(layer, _)| !layer.find_links.is_empty()) else {
            return Ok(());
        };
        for text in &layer.find_links {
            let place = parse_find_links(text, credentials)?;
            self.for_uv.find_links.push(match &place {
                FindLinks::Directory(path) => directory_url(path)?.to_string(),
                FindLinks::Page(_) => text.clone(),
            });
            self.find_links.push(place);
        }
        Ok(())
    }
}

/// The file URL of a directory, without commas: uv divides lists at them.
pub fn directory_url(path: &Path) -> Result<Url, Failure> {
    let invalid = || invalid(format!("{} is not an absolute directory", path.display()));
    let url = Url::from_file_path(path).map_err(|()| invalid())?;
    url.as_str().replace(',', "%2C").parse().map_err(|_| invalid())
}

fn uv_variables(environment: &Environment) -> SettingsLayer {
    let split_commas = |name: &str| -> Vec<String> {
        let places = environment.get(name).into_iter().flat_map(|value| value.split(','));
        places.map(str::trim).filter(|place| !place.is_empty()).map(str::to_owned).collect()
    };
    let default = environment.get("UV_DEFAULT_INDEX").or_else(|| environment.get("UV_INDEX_URL"));
    SettingsLayer {
        default_index: default.map(str::to_owned),
        extra_indexes: [environment.words("UV_INDEX"), environment.words("UV_EXTRA_INDEX_URL")].concat(),
        find_links: split_commas("UV_FIND_LINKS"),
        no_index: None,
        constraints: environment.words("UV_CONSTRAINT"),
        build_constraints: environment.words("UV_BUILD_CONSTRAINT"),
        exclude_newer: environment.get("UV_EXCLUDE_NEWER").map(str::to_owned),
        uploaded_prior_to: None,
    }
}

fn pip_variables(environment: &Environment) -> SettingsLayer {
    SettingsLayer {
        default_index: environment.get("PIP_INDEX_URL").map(str::to_owned),
        extra_indexes: environment.words("PIP_EXTRA_INDEX_URL"),
        find_links: environment.words("PIP_FIND_LINKS"),
        no_index: environment.get("PIP_NO_INDEX").map(is_true),
        constraints: environment.words("PIP_CONSTRAINT"),
        build_constraints: environment.words("PIP_BUILD_CONSTRAINT"),
        exclude_newer: None,
        uploaded_prior_to: environment.get("PIP_UPLOADED_PRIOR_TO").map(str::to_owned),
    }
}

/// pip passes over find-links directories that do not exist; uv does not, nor do flags.
fn existing_only(mut layer: SettingsLayer) -> SettingsLayer {
    layer.find_links.retain(|place| place.contains("://") || Path::new(place).is_dir());
    layer
}

fn parse_index(text: &str, environment: &Environment, credentials: &Credentials) -> Result<Url, Failure> {
    let (name, text) = split_name(text);
    let url: Url = text
        .parse()
        .map_err(|error| invalid(format!("the index URL `{}` is not a URL: {error}", redact_urls(text))))?;
    if let Some(name) = name {
        let name: String = name
            .chars()
            .map(
                |character| {
                    if character.is_ascii_alphanumeric() { character.to_ascii_uppercase() } else { '_' }
                },
            )
            .collect();
        let variable = |kind: &str| environment.get(&format!("UV_INDEX_{name}_{kind}"));
        if let Some(username) = variable("USERNAME") {
            let password = variable("PASSWORD").unwrap_or_default().to_owned();
            credentials.add(&url, Login { username: username.to_owned(), password });
        }
    }
    Ok(credentials.absorb(&url))
}

/// uv's `name=URL`.
fn split_name(text: &str) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((name, url))
            if !name.is_empty()
                && name.chars().all(|character| {
                    character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.')
                }) =>
        {
            (Some(name), url)
        }
        _ => (None, text),
    }
}

fn parse_find_links(text: &str, credentials: &Credentials) -> Result<FindLinks, Failure> {
    if text.contains("://") {
        let url: Url = text
            .parse()
            .map_err(|error| invalid(format!("find-links `{}` is not a URL: {error}", redact_urls(text))))?;
        if let ("file", Ok(path)) = (url.scheme(), url.to_file_path())
            && path.is_dir()
        {
            return Ok(FindLinks::Directory(path));
        }
        return Ok(FindLinks::Page(credentials.absorb(&url)));
    }
    let path =
        std::fs::canonicalize(text).map_err(|error| invalid(format!("find-links `{text}`: {error}")))?;
    if path.is_dir() {
        return Ok(FindLinks::Directory(path));
    }
    let url =
        Url::from_file_path(&path).map_err(|()| invalid(format!("find-links `{text}` is not a path")))?;
    Ok(FindLinks::Page(url))
}

/// Each of `files` once, by its absolute path.
fn distinct_files<'a>(files: impl Iterator<Item = &'a String>) -> Result<Vec<String>, Failure> {
    let mut seen = std::collections::HashSet::new();
    files.filter(|file| seen.insert(*file)).map(|file| absolute(file)).collect()
}

fn absolute(constraint: &str) -> Result<String, Failure> {
    if constraint.contains("://") {
        return Ok(constraint.to_owned());
    }
    let path = std::fs::canonicalize(constraint)
        .map_err(|error| invalid(format!("constraints `{constraint}`: {error}")))?;
    path.into_os_string().into_string().map_err(|path| invalid(format!("{path:?} is not UTF-8")))
}

fn invalid(message: String) -> Failure {
    Failure::new(FailureClass::InvalidSource, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(flags: SettingsLayer, variables: &[(&str, &str)]) -> (IndexSettings, Credentials) {
        let home = tempfile::tempdir().unwrap();
        let mut variables = variables.to_vec();
        variables.push(("XDG_CONFIG_DIRS", "/nonexistent"));
        let environment = Environment::for_tests(&variables, home.path());
        let credentials = Credentials::default();
        let flags = IndexFlags { layer: flags, ..IndexFlags::default() };
        (IndexSettings::decide(&flags, &environment, &credentials).unwrap(), credentials)
    }

    fn urls(settings: &IndexSettings) -> Vec<&str> {
        settings.indexes.iter().map(Url::as_str).collect()
    }

    #[test]
    fn flags_win_over_uvs_variables_and_those_over_pips() {
        let variables = [
            ("UV_DEFAULT_INDEX", "https://uv.example/simple"),
            ("PIP_INDEX_URL", "https://pip.example/simple"),
            ("PIP_EXTRA_INDEX_URL", "https://extra.example/a https://extra.example/b"),
        ];
        let flags =
            SettingsLayer { default_index: Some("https://flag.example/".into()), ..SettingsLayer::default() };
        let (settings, _) = decide(flags, &variables);
        assert_eq!(
            urls(&settings),
            ["https://extra.example/a", "https://extra.example/b", "https://flag.example/"]
        );
        assert_eq!(settings.for_uv.default_index.as_deref(), Some("https://flag.example/"));
        let (settings, _) = decide(SettingsLayer::default(), &variables);
        assert_eq!(urls(&settings)[2], "https://uv.example/simple");
        assert_eq!(settings.for_uv.default_index, None, "uv reads its own variable");
        assert_eq!(settings.for_uv.extra_indexes.len(), 2, "but not those of pip");
    }

    #[test]
    fn logins_are_kept_aside_and_named_indexes_find_theirs() {
        let (settings, credentials) = decide(
            SettingsLayer::default(),
            &[
                ("UV_DEFAULT_INDEX", "https://me:secret@one.example/simple"),
                ("UV_INDEX", "my-corp=https://corp.example/simple"),
                ("UV_INDEX_MY_CORP_USERNAME", "you"),
                ("UV_INDEX_MY_CORP_PASSWORD", "hidden"),
            ],
        );
        assert_eq!(urls(&settings), ["https://corp.example/simple", "https://one.example/simple"]);
        assert_eq!(credentials.for_url(&settings.indexes[0]).unwrap().username, "you");
        assert_eq!(credentials.for_url(&settings.indexes[1]).unwrap().username, "me");
        assert!(!format!("{:?}", settings.for_uv).contains("secret"));
    }

    #[test]
    fn no_index_leaves_only_find_links_and_missing_directories_of_pip_are_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let flags = SettingsLayer {
            no_index: Some(true),
            find_links: vec![directory.path().to_str().unwrap().into()],
            ..SettingsLayer::default()
        };
        let (settings, _) = decide(flags, &[]);
        assert!(settings.indexes.is_empty());
        assert!(matches!(settings.find_links.as_slice(), [FindLinks::Directory(_)]));
        let (settings, _) = decide(SettingsLayer::default(), &[("PIP_FIND_LINKS", "/no/such/directory")]);
        assert_eq!(settings.find_links, []);
    }

    #[test]
    fn the_time_that_counts_is_decided_like_everything_else() {
        let before = |flag: Option<&str>, variables: &[(&str, &str)]| {
            let flags = SettingsLayer { exclude_newer: flag.map(str::to_owned), ..SettingsLayer::default() };
            let cutoffs = decide(flags, variables).0.cutoffs;
            (cutoffs.general.map(|cutoff| cutoff.before.to_string()), cutoffs.switched_off)
        };
        let uv = ("UV_EXCLUDE_NEWER", "2024-01-31");
        let pip = ("PIP_UPLOADED_PRIOR_TO", "2023-01-31");
        let at = |time: &str| (Some(time.to_owned()), false);
        assert_eq!(before(Some("2022-01-01T00:00:00Z"), &[uv, pip]), at("2022-01-01T00:00:00Z"));
        assert_eq!(before(None, &[uv, pip]), at("2024-02-01T00:00:00Z"));
        assert_eq!(before(None, &[pip]), at("2023-01-31T00:00:00Z"));
        assert_eq!(before(None, &[]), (None, false));
        assert_eq!(before(Some("false"), &[uv]), (None, true));
        let flags = SettingsLayer { exclude_newer: Some("soon".into()), ..SettingsLayer::default() };
        let flags = IndexFlags { layer: flags, ..IndexFlags::default() };
        let failure =
            IndexSettings::decide(&flags, &Environment::default(), &Credentials::default()).unwrap_err();
        assert!(failure.message.starts_with("--exclude-newer: `soon` is neither"), "{failure}");
    }

    #[test]
    fn a_url_that_is_none_is_refused_without_its_password() {
        let flags =
            SettingsLayer { default_index: Some("https://a:hunter22@[".into()), ..SettingsLayer::default() };
        let flags = IndexFlags { layer: flags, ..IndexFlags::default() };
        let error = IndexSettings::decide(&flags, &Environment::default(), &Credentials::default());
        let message = error.unwrap_err().to_string();
        assert!(!message.contains("hunter22"), "{message}");
    }

    #[test]
    fn directories_become_urls_uv_does_not_split() {
        assert_eq!(directory_url(Path::new("/a,b c")).unwrap().as_str(), "file:///a%2Cb%20c");
    }
}
