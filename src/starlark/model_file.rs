//! Models as TOML. Knows nothing of what is made of them.

use std::collections::BTreeSet;

use super::model::{BazelModel, BazelVersion, ModelError, PlatformModel};
use crate::platform::{Arch, NamedArch, Target};

/// A model of which parts may be left open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelFile {
    /// [`BazelModel::package`].
    pub package: Option<String>,
    /// [`BazelModel::versions`]; all if `None`.
    pub versions: Option<BTreeSet<BazelVersion>>,
    /// [`BazelModel::platforms`]; one for each [`Target`] if `None`.
    pub platforms: Option<Vec<PlatformModel>>,
}

impl ModelFile {
    /// Reads a model: `package`, `bazel-compat` (an array), and for each platform a table `[[platform]]` with `arch`,
    /// and perhaps `os`, `name`, `libc`, `libc-property`, `python` (an array), `python-property`, `exec-properties`.
    ///
    /// # Errors
    /// [`ModelError::File`] if it is not TOML, or has other keys; others for what a value should be.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| ModelError::File(error.to_string()))?;
        let mut file = Self::default();
        for (key, value) in &table {
            match key.as_str() {
                "package" => file.package = Some(string(key, value)?.to_owned()),
                "bazel-compat" => {
                    let versions =
                        strings(key, value)?.into_iter().map(str::parse).collect::<Result<_, _>>()?;
                    file.versions = Some(versions);
                }
                "platform" => {
                    let problem =
                        || ModelError::File("platform: must be tables, each begun by [[platform]]".into());
                    let tables = value.as_array().ok_or_else(problem)?.iter();
                    let read = |entry: &toml::Value| platform(entry.as_table().ok_or_else(problem)?);
                    file.platforms = Some(tables.map(read).collect::<Result<_, _>>()?);
                }
                _ => return Err(unknown(key, "a model's ", &["package", "bazel-compat", "platform"])),
            }
        }
        Ok(file)
    }

    /// The model, with what the file leaves open, and checked. `package` is for a file that does not say.
    ///
    /// # Errors
    /// As [`BazelModel::check`].
    pub fn complete(self, package: String) -> Result<BazelModel, ModelError> {
        let both = || [Arch::Amd64, Arch::Arm64].map(|arch| PlatformModel::of(Target { arch })).into();
        BazelModel {
            package: self.package.unwrap_or(package),
            versions: self.versions.unwrap_or_else(|| BazelVersion::ALL.into()),
            platforms: self.platforms.unwrap_or_else(both),
        }
        .check()
    }
}

const PLATFORM_KEYS: [&str; 8] =
    ["name", "os", "arch", "libc", "libc-property", "python", "python-property", "exec-properties"];

fn platform(table: &toml::Table) -> Result<PlatformModel, ModelError> {
    let text = |key: &str| table.get(key).map(|value| string(key, value)).transpose();
    if let Some(key) = table.keys().find(|key| !PLATFORM_KEYS.contains(&key.as_str())) {
        return Err(unknown(key, "a platform's ", &PLATFORM_KEYS));
    }
    match text("os")? {
        None | Some("linux") => {}
        Some(other) => {
            return Err(ModelError::File(format!("os: `{other}` is not linux, the only one there is")));
        }
    }
    let arch = text("arch")?.ok_or_else(|| ModelError::File("a platform has no arch".into()))?;
    let known = || ModelError::File(format!("arch: `{arch}` is neither amd64 nor arm64"));
    let mut platform =
        PlatformModel::of(Target { arch: NamedArch::of(arch).and_then(NamedArch::ours).ok_or_else(known)? });
    if let Some(name) = text("name")? {
        platform.name = name.to_owned();
    }
    platform.libc = text("libc")?.map(str::parse).transpose()?;
    platform.libc_property = switch("libc-property", table)?;
    if let Some(pythons) = table.get("python") {
        platform.pythons =
            strings("python", pythons)?.into_iter().map(str::parse).collect::<Result<_, _>>()?;
    }
    platform.python_property = switch("python-property", table)?;
    if let Some(value) = table.get("exec-properties") {
        let problem = || ModelError::File("exec-properties: must be a table of strings".into());
        for (name, value) in value.as_table().ok_or_else(problem)? {
            platform.properties.push((name.clone(), string(name, value)?.to_owned()));
        }
    }
    Ok(platform)
}

fn switch(key: &str, table: &toml::Table) -> Result<bool, ModelError> {
    match table.get(key) {
        None => Ok(true),
        Some(value) => value
            .as_bool()
            .ok_or_else(|| ModelError::File(format!("{key}: `{value}` is neither true nor false"))),
    }
}

fn string<'a>(key: &str, value: &'a toml::Value) -> Result<&'a str, ModelError> {
    value.as_str().ok_or_else(|| ModelError::File(format!("{key}: `{value}` is no string")))
}

fn strings<'a>(key: &str, value: &'a toml::Value) -> Result<Vec<&'a str>, ModelError> {
    match value.as_array() {
        Some(values) => values.iter().map(|value| string(key, value)).collect(),
        None => Ok(vec![string(key, value)?]),
    }
}

fn unknown(key: &str, whose: &str, known: &[&str]) -> ModelError {
    ModelError::File(format!("`{key}` is none of {whose}keys: {}", known.join(", ")))
}
