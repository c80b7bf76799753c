//! Where settings are written: on the command line, in the environment, in a file. Knows their names, not their
//! meaning.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::entries::{ENTRIES, Entry};
use super::error::{SettingsError, unknown_key};
use super::origin::Origin;

/// What one setting was given as.
#[derive(Debug, Clone)]
pub struct Given {
    pub origin: Origin,
    pub values: Vec<Raw>,
    /// What paths in it are relative to.
    pub base: PathBuf,
}

/// One value as it was written.
#[derive(Debug, Clone)]
pub enum Raw {
    Text(String),
    /// Only for settings that are tables in the file.
    Table(toml::Table),
}

/// Everything that was given.
#[derive(Debug)]
pub struct Layers {
    entries: Vec<&'static Entry>,
    given: BTreeMap<&'static str, Given>,
}

impl Default for Layers {
    fn default() -> Self {
        Self::of(ENTRIES.iter().collect())
    }
}

impl Layers {
    /// Nothing given of what a server has.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing given of these.
    pub fn of(entries: Vec<&'static Entry>) -> Self {
        Self { entries, given: BTreeMap::new() }
    }

    /// Takes the values of a flag. Layers that come first win.
    pub fn flag(&mut self, name: &'static str, values: Vec<String>, base: &Path) {
        let values = values.into_iter().map(Raw::Text).collect();
        self.add(name, Given { origin: Origin::Flag(name), values, base: base.to_owned() });
    }

    /// Takes what the environment says.
    ///
    /// # Errors
    /// Variables that are not text.
    pub fn environment(
        &mut self,
        variable: impl Fn(&str) -> Option<OsString>,
        base: &Path,
    ) -> Result<(), SettingsError> {
        for entry in self.entries.clone() {
            let name = entry.variable();
            let Some(text) = variable(&name).filter(|text| !text.is_empty()) else { continue };
            let origin = Origin::Variable(name);
            let text = text.into_string().map_err(|_| SettingsError::Value {
                origin: origin.clone(),
                problem: "is not UTF-8".into(),
            })?;
            let values = match entry.separator {
                None => vec![text],
                Some(separator) => {
                    let parts = text.split(separator).map(str::trim).filter(|part| !part.is_empty());
                    parts.map(str::to_owned).collect()
                }
            };
            let values = values.into_iter().map(Raw::Text).collect();
            self.add(entry.name, Given { origin, values, base: base.to_owned() });
        }
        Ok(())
    }

    /// Takes what a file says. Paths in it are relative to its directory.
    ///
    /// # Errors
    /// A file that cannot be read, is not TOML, or has keys that are no settings.
    pub fn file(&mut self, path: &Path) -> Result<(), SettingsError> {
        let text = fs_err::read_to_string(path).map_err(SettingsError::ReadFile)?;
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| syntax(path, &text, &error))?;
        let base = path.parent().unwrap_or(Path::new("."));
        for (key, value) in table {
            let origin = Origin::File { key: key.clone(), path: path.to_owned() };
            let Some(entry) = self.entries.iter().copied().find(|entry| entry.name == key) else {
                let problem = unknown_key(&key, self.entries.iter().map(|entry| entry.name));
                return Err(SettingsError::UnknownKey { path: path.to_owned(), problem });
            };
            let values = match value {
                toml::Value::Array(values) if entry.separator.is_some() => values,
                value => vec![value],
            };
            let values: Result<_, _> = values.into_iter().map(raw).collect();
            let values =
                values.map_err(|problem| SettingsError::Value { origin: origin.clone(), problem })?;
            self.add(entry.name, Given { origin, values, base: base.to_owned() });
        }
        Ok(())
    }

    /// What a setting was given as by the first layer that has it.
    pub fn get(&self, name: &'static str) -> Option<&Given> {
        self.given.get(name)
    }

    fn add(&mut self, name: &'static str, given: Given) {
        self.given.entry(name).or_insert(given);
    }
}

fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> SettingsError {
    let start = error.span().map_or(0, |span| span.start).min(text.len());
    let line = text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count() + 1;
    SettingsError::Syntax { path: path.to_owned(), line, problem: error.message().to_owned() }
}

fn raw(value: toml::Value) -> Result<Raw, String> {
    match value {
        toml::Value::String(text) => Ok(Raw::Text(text)),
        toml::Value::Integer(_) | toml::Value::Boolean(_) => Ok(Raw::Text(value.to_string())),
        toml::Value::Table(table) => Ok(Raw::Table(table)),
        other => Err(format!("`{other}` is of no use here")),
    }
}
