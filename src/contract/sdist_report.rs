//! What the step reports of an sdist that it has made. Knows nothing of how the figures came about.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::git::GitQuestion;
use super::report::{IsolationReport, UsedRequirement};
use crate::digest::Sha256;

/// An sdist, and how it came to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SdistReport {
    /// File name of the sdist (PEP 625, as far as the backend keeps to it), in the directory given by `--out`.
    pub file_name: String,
    /// Project name, from PKG-INFO or else from the file's name; none if neither tells.
    pub name: Option<String>,
    /// Version, likewise.
    pub version: Option<String>,
    /// SHA-256 of the sdist.
    pub sha256: Sha256,
    /// Size of the sdist in bytes.
    pub size_bytes: u64,
    /// Files, directories and links in it.
    pub members: u64,
    /// Version of the Python that made it, such as `3.11.7`.
    pub python_version: String,
    /// PEP 517 backend that made it.
    pub backend: String,
    /// What was installed in the build's venv, sorted by name.
    pub build_requirements: Vec<UsedRequirement>,
    /// What `get_requires_for_build_sdist` returned (PEP 508).
    pub dynamic_requirements: Vec<String>,
    /// What the backend asked git, each question once, in the order in which it came up.
    #[serde(default)]
    pub git_questions: Vec<GitQuestion>,
    /// How the build was isolated.
    pub isolation: IsolationReport,
    /// Wall-clock seconds per step (`copy`, `venv`, `requires`, `backend`, `pack`, ...).
    pub seconds: BTreeMap<String, f64>,
    /// Largest resident memory of the backend's process tree, in bytes (sampled).
    pub peak_memory_bytes: u64,
    /// Largest resident memory of `crosswheel sdist` itself, in bytes.
    pub own_peak_memory_bytes: u64,
}
