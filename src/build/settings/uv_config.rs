//! uv's user and system configuration files, as far as they say where packages come from. uv reads
//! them itself when it resolves; this is for our own look-ups of sdists.
//! Knows nothing of uv's environment variables or of what takes precedence over these files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pep508_rs::PackageName;
use serde::Deserialize;

use super::layer::{Environment, SettingsLayer};
use crate::build::index::credentials::redact_urls;
use crate::contract::{Failure, FailureClass};

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    index: Vec<IndexTable>,
    index_url: Option<String>,
    extra_index_url: Vec<String>,
    find_links: Vec<String>,
    no_index: Option<bool>,
    exclude_newer: Option<Time>,
    exclude_newer_package: BTreeMap<PackageName, Time>,
}

/// A time as a text, a date of TOML's own, or `false`.
#[derive(Deserialize, Clone)]
#[serde(untagged)]
enum Time {
    Text(String),
    Switch(bool),
    Date(toml::value::Datetime),
}

impl Time {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Switch(switch) => switch.to_string(),
            Self::Date(date) => date.to_string(),
        }
    }
}

#[derive(Deserialize)]
struct IndexTable {
    name: Option<String>,
    url: String,
    #[serde(default)]
    default: bool,
    #[serde(default)]
    explicit: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct Configuration {
    #[serde(flatten)]
    settings: Settings,
    pip: Settings,
    build_constraint_dependencies: Vec<String>,
}

/// What uv's configuration files say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct UvConfiguration {
    /// Where packages come from. `constraints` stays empty.
    pub layer: SettingsLayer,
    /// `build-constraint-dependencies`: PEP 508 requirements.
    pub build_constraints: Vec<String>,
    /// `exclude-newer-package`: what `exclude-newer` is for these projects.
    pub exclude_newer_package: BTreeMap<PackageName, String>,
    /// The bytes of the files, for cache keys.
    pub text: String,
}

/// The settings of uv's files: `UV_CONFIG_FILE` alone, or else the user's before the system's.
pub fn read(environment: &Environment) -> Result<UvConfiguration, Failure> {
    if environment.get("UV_NO_CONFIG").is_some_and(super::layer::is_true) {
        return Ok(UvConfiguration::default());
    }
    let mut merged = UvConfiguration::default();
    for path in files(environment) {
        let Ok(text) = fs_err::read_to_string(&path) else { continue };
        let parsed: Configuration = toml::from_str(&text).map_err(|error| {
            // The error shows the line, and there may be a login in it.
            let reason = redact_urls(&error.to_string());
            let message = format!("uv's configuration {} cannot be read: {reason}", path.display());
            Failure::new(FailureClass::ResolutionFailed, message)
        })?;
        merged.text.push_str(&text);
        merged.build_constraints.extend(parsed.build_constraint_dependencies);
        for mut settings in [parsed.pip, parsed.settings] {
            for (name, time) in std::mem::take(&mut settings.exclude_newer_package) {
                merged.exclude_newer_package.entry(name).or_insert(time.text());
            }
            merged.layer.append(settings.into_layer());
        }
    }
    Ok(merged)
}

impl Settings {
    fn into_layer(self) -> SettingsLayer {
        let mut layer = SettingsLayer {
            default_index: None,
            extra_indexes: Vec::new(),
            find_links: self.find_links,
            no_index: self.no_index,
            constraints: Vec::new(),
            build_constraints: Vec::new(),
            exclude_newer: self.exclude_newer.map(Time::text),
            uploaded_prior_to: None,
        };
        // An explicit index is only for packages that name it, and build requirements never do.
        for table in self.index.into_iter().filter(|table| !table.explicit) {
            let named = match table.name {
                Some(name) => format!("{name}={}", table.url),
                None => table.url,
            };
            if table.default {
                layer.default_index.get_or_insert(named);
            } else {
                layer.extra_indexes.push(named);
            }
        }
        layer.default_index = layer.default_index.or(self.index_url);
        layer.extra_indexes.extend(self.extra_index_url);
        layer
    }
}

fn files(environment: &Environment) -> Vec<PathBuf> {
    if let Some(chosen) = environment.get("UV_CONFIG_FILE") {
        return vec![chosen.into()];
    }
    let mut files: Vec<PathBuf> =
        environment.user_configuration().map(|directory| directory.join("uv/uv.toml")).into_iter().collect();
    let system = environment.get("XDG_CONFIG_DIRS").unwrap_or("/etc/xdg");
    let system = system.split(':').map(|directory| PathBuf::from(directory).join("uv/uv.toml"));
    files.extend(system.chain(["/etc/uv/uv.toml".into()]).find(|path| path.is_file()));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_default_and_explicit_indexes_are_told_apart() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join(".config/uv");
        fs_err::create_dir_all(&directory).unwrap();
        let text = "find-links = ['/wheels']\nbuild-constraint-dependencies = ['setuptools<70']\n\
                    native-tls = true\nexclude-newer = '7 days'\nexclude-newer-package = { torch = false }\n\
                    [[index]]\nname = 'corp'\nurl = 'https://corp.example/simple'\ndefault = true\n\
                    [[index]]\nurl = 'https://two.example/simple'\n\
                    [[index]]\nname = 'torch'\nurl = 'https://torch.example'\nexplicit = true\n";
        fs_err::write(directory.join("uv.toml"), text).unwrap();
        let environment = Environment::for_tests(&[("XDG_CONFIG_DIRS", "/nonexistent")], home.path());
        let found = read(&environment).unwrap();
        assert_eq!(found.layer.default_index.as_deref(), Some("corp=https://corp.example/simple"));
        assert_eq!(found.layer.extra_indexes, ["https://two.example/simple"]);
        assert_eq!(found.layer.find_links, ["/wheels"]);
        assert_eq!(found.build_constraints, ["setuptools<70"]);
        assert_eq!(found.layer.exclude_newer.as_deref(), Some("7 days"));
        assert_eq!(found.exclude_newer_package[&"torch".parse().unwrap()], "false");
    }

    #[test]
    fn a_file_uv_would_refuse_is_refused_by_name() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("mine.toml");
        fs_err::write(&file, "index-url = 3").unwrap();
        let environment = Environment::for_tests(&[("UV_CONFIG_FILE", file.to_str().unwrap())], home.path());
        assert!(read(&environment).unwrap_err().message.contains("mine.toml"));
    }
}
