//! What the user changes about the build of a source. Knows nothing of how a build is run.

use std::path::PathBuf;

use pep440_rs::Version;
use pep508_rs::PackageName;

use crate::contract::{Expect, KeyValue};
use crate::digest::Sha256;

/// A patch to apply before the build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// The patch file.
    pub path: PathBuf,
    /// SHA-256 of its bytes.
    pub sha256: Sha256,
    /// Whether it changes pyproject.toml, and with it perhaps the build requirements.
    pub touches_pyproject: bool,
}

/// What the user changes about the build of a source. Requirements built on the way have none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Customisation {
    /// PEP 508 requirements to install in addition.
    pub build_requires: Vec<String>,
    /// Versions of packages, for those of them that the build asks for.
    pub pins: Vec<(PackageName, Version)>,
    /// For the backend's `config_settings` (PEP 517), in order.
    pub config_settings: Vec<KeyValue>,
    /// For the backend's environment, in order.
    pub env: Vec<KeyValue>,
    /// Directories of tools for the backend's PATH.
    pub tool_directories: Vec<PathBuf>,
    /// Whether the wheel must hold compiled code.
    pub expect: Expect,
    /// Patches, in order.
    pub patches: Vec<Patch>,
    /// Leading path components to strip from the names in patches.
    pub patch_strip: usize,
}

impl Customisation {
    /// Whether a patch changes pyproject.toml.
    pub fn touches_pyproject(&self) -> bool {
        self.patches.iter().any(|patch| patch.touches_pyproject)
    }
}
