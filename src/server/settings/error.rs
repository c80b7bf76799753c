//! Why settings cannot be used, with the place where it was written.

use std::io;
use std::path::PathBuf;

use super::origin::Origin;
use crate::nearest::nearest;

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("{origin}: {problem}")]
    Value { origin: Origin, problem: String },

    /// Of one that has no default.
    #[error("--{name} is missing, or {} in the environment: {why}", super::entries::variable(.name))]
    Missing { name: &'static str, why: &'static str },

    #[error("{}: {problem}", .path.display())]
    UnknownKey { path: PathBuf, problem: String },

    #[error("cannot read the settings: {0}")]
    ReadFile(#[source] io::Error),

    /// Without the line itself, in which there may be a secret.
    #[error("{} is not TOML: line {line}: {problem}", .path.display())]
    Syntax { path: PathBuf, line: usize, problem: String },
}

/// What to say about a name that is none of `known`.
pub(super) fn unknown_key(key: &str, known: impl Iterator<Item = &'static str>) -> String {
    let close = nearest(key, known);
    let suggestion = close.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
    format!("there is no setting `{key}`{suggestion}")
}
