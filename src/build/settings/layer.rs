//! Where settings come from, one place at a time, and how places are laid over one another.
//! Knows nothing of what the settings are used for.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Environment variables and the home directory, so that tests can have their own.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Variables whose names and values are UTF-8.
    pub variables: BTreeMap<String, String>,
    /// The user's home directory.
    pub home: Option<PathBuf>,
}

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self { variables: std::env::vars_os().filter_map(text).collect(), home: std::env::home_dir() }
    }

    /// A variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// `$XDG_CONFIG_HOME` or `~/.config`.
    pub fn user_configuration(&self) -> Option<PathBuf> {
        let chosen = self.get("XDG_CONFIG_HOME").map(PathBuf::from);
        chosen.or_else(|| self.home.as_ref().map(|home| home.join(".config")))
    }

    /// The words of a variable.
    pub fn words(&self, name: &str) -> Vec<String> {
        self.get(name).into_iter().flat_map(str::split_whitespace).map(str::to_owned).collect()
    }

    #[cfg(test)]
    pub(crate) fn for_tests(variables: &[(&str, &str)], home: &std::path::Path) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { variables: variables.iter().map(own).collect(), home: Some(home.to_owned()) }
    }
}

/// What one place (flags, a tool's variables, a tool's files) says. Texts are as written; uv allows
/// `name=URL` for an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsLayer {
    /// The index asked last.
    pub default_index: Option<String>,
    /// Indexes asked before it.
    pub extra_indexes: Vec<String>,
    /// Directories and pages that list files.
    pub find_links: Vec<String>,
    /// Whether indexes are not asked at all.
    pub no_index: Option<bool>,
    /// Files of constraints.
    pub constraints: Vec<String>,
    /// Files of constraints on build requirements alone.
    pub build_constraints: Vec<String>,
    /// uv's exclude-newer: what was uploaded later does not count.
    pub exclude_newer: Option<String>,
    /// pip's uploaded-prior-to, which means the same and reads dates differently.
    pub uploaded_prior_to: Option<String>,
}

impl SettingsLayer {
    /// Adds what `other`, of lower precedence, says.
    pub fn append(&mut self, other: Self) {
        self.default_index = self.default_index.take().or(other.default_index);
        self.extra_indexes.extend(other.extra_indexes);
        self.find_links.extend(other.find_links);
        self.no_index = self.no_index.or(other.no_index);
        self.constraints.extend(other.constraints);
        self.build_constraints.extend(other.build_constraints);
        // One layer is one tool's, which says it in one of the two ways.
        if self.exclude_newer.is_none() && self.uploaded_prior_to.is_none() {
            self.exclude_newer = other.exclude_newer;
            self.uploaded_prior_to = other.uploaded_prior_to;
        }
    }
}

/// How pip reads a boolean.
pub fn is_true(value: &str) -> bool {
    matches!(value.trim().to_ascii_lowercase().as_str(), "1" | "y" | "yes" | "t" | "true" | "on")
}
