//! Writes a pylock.toml for one target: the same text for the same files. Knows nothing of how they were chosen.

use std::fmt::Write as _;

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::PackageName;
use toml::Value;

use crate::lock::locked_file::{FileHash, FilePlace};
use crate::lock::source::without_login;

/// A package of a pylock.toml, which is this one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PylockEntry {
    /// Normalised.
    pub name: PackageName,
    /// The version, if it is known.
    pub version: Option<Version>,
    /// Its file: a wheel, or what one is built from.
    pub file_name: String,
    /// Where that is. A path is relative to the file's directory, or absolute.
    pub place: FilePlace,
    /// What it is.
    pub hash: FileHash,
    /// Its size in bytes, if it is known.
    pub size: Option<u64>,
}

/// The text of a pylock.toml with `entries`, for the Pythons of `requires_python` where the marker `environment` holds.
/// Logins in URLs are left out.
pub fn write_pylock(
    entries: &[PylockEntry],
    requires_python: Option<&VersionSpecifiers>,
    environment: Option<&str>,
) -> String {
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by_key(|entry| (&entry.name, &entry.version, &entry.file_name));
    let mut text = "lock-version = \"1.0\"\n".to_owned();
    if let Some(environment) = environment {
        let _ = writeln!(text, "environments = [{}]", quoted(environment));
    }
    if let Some(requires_python) = requires_python {
        let _ = writeln!(text, "requires-python = {}", quoted(&requires_python.to_string()));
    }
    text.push_str("created-by = \"crosswheel\"\n");
    for entry in sorted {
        let _ = writeln!(text, "\n[[packages]]\nname = {}", quoted(entry.name.as_ref()));
        if let Some(version) = &entry.version {
            let _ = writeln!(text, "version = {}", quoted(&version.to_string()));
        }
        let file = inline_file(entry);
        let _ = match entry.file_name.ends_with(".whl") {
            true => writeln!(text, "wheels = [{file}]"),
            false => writeln!(text, "sdist = {file}"),
        };
    }
    text
}

fn inline_file(entry: &PylockEntry) -> String {
    let place = match &entry.place {
        FilePlace::Url(url) => format!("url = {}", quoted(without_login(url).as_str())),
        FilePlace::Path(path) => format!("path = {}", quoted(&path.to_string_lossy())),
    };
    let size = entry.size.map(|size| format!(", size = {size}")).unwrap_or_default();
    let FileHash { algorithm, hex } = &entry.hash;
    let name = quoted(&entry.file_name);
    format!("{{ name = {name}, {place}{size}, hashes = {{ {} = {} }} }}", quoted(algorithm), quoted(hex))
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
