//! A wheel that lies unpacked in the store, as its manifest describes it: what is where, and what the
//! wheel says of itself. Knows nothing of how it got there, or of environments.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{ExtraName, PackageName, Requirement};
use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::packaging::core_metadata::CoreMetadata;
use crate::packaging::entry_points::EntryPointScript;
use crate::packaging::requirement_text::parse_requirement;
use crate::packaging::wheel_name::WheelFileName;

/// Name of the manifest in the directory of an unpacked wheel.
pub(crate) const MANIFEST: &str = "manifest.json";

/// A wheel that lies unpacked in the store. Cheap to clone; loading one reads a single file.
#[derive(Clone, Debug)]
pub struct UnpackedWheel {
    directory: PathBuf,
    manifest: Arc<Manifest>,
}

/// Everything an installation needs to know, so that it need not look at directories.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub file_name: WheelFileName,
    pub sha256: Sha256,
    pub name: PackageName,
    pub version: Version,
    pub requires_python: Option<VersionSpecifiers>,
    pub requires_dist: Vec<StoredRequirement>,
    pub provides_extra: Vec<ExtraName>,
    /// Name of the `.dist-info` directory.
    pub dist_info: String,
    /// Directories of files and compiled files, parents before children.
    pub directories: Vec<(Scheme, String)>,
    pub files: Vec<StoredFile>,
    /// Byte-compiled files, all of [`Scheme::Site`]; not in RECORD.
    pub compiled: Vec<String>,
    pub entry_points: Vec<EntryPointScript>,
}

/// Where in an environment a file goes; also the directory it lies in, in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scheme {
    /// `site-packages`: purelib and platlib, which are one in a venv.
    Site,
    /// `bin`.
    Scripts,
    /// `include/site/pythonX.Y/NAME`.
    Headers,
    /// The root of the environment.
    Data,
}

impl Scheme {
    pub const ALL: [Self; 4] = [Self::Site, Self::Scripts, Self::Headers, Self::Data];

    /// The scheme of a key of the `.data` directory.
    pub fn from_data_key(key: &str) -> Option<Self> {
        match key {
            "purelib" | "platlib" => Some(Self::Site),
            "scripts" => Some(Self::Scripts),
            "headers" => Some(Self::Headers),
            "data" => Some(Self::Data),
            _ => None,
        }
    }

    /// The directory of an unpacked wheel that holds its files.
    pub fn directory(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Scripts => "scripts",
            Self::Headers => "headers",
            Self::Data => "data",
        }
    }
}

/// A file of an unpacked wheel.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredFile {
    pub scheme: Scheme,
    /// Path below the scheme's directory.
    pub path: String,
    pub sha256: Sha256,
    pub size: u64,
    /// Whether it is executable: mode 0555 rather than 0444.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
    /// A script whose first line, `#!python`, must name the environment's interpreter.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rewrite_shebang: bool,
}

/// A line of `Requires-Dist`, parsed when it is needed: most are for extras nobody asks for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredRequirement {
    text: String,
    /// Its marker cannot be true unless an extra is asked for.
    only_with_extra: bool,
}

impl StoredRequirement {
    pub fn all_of(metadata: &CoreMetadata) -> Vec<Self> {
        let store = |requirement: &Requirement| Self {
            text: requirement.to_string(),
            only_with_extra: !requirement.marker.evaluate_extras(&[]),
        };
        metadata.requires_dist.iter().map(store).collect()
    }
}

/// Why an unpacked wheel cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The manifest cannot be read; the error names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is not what this version of crosswheel writes.
    #[error("`{}` is not a manifest of an unpacked wheel: {source}", .path.display())]
    Malformed {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl UnpackedWheel {
    /// Loads the wheel that lies unpacked in `directory`.
    pub(crate) fn load(directory: PathBuf) -> Result<Self, ManifestError> {
        let path = directory.join(MANIFEST);
        let bytes = fs_err::read(&path)?;
        let manifest =
            serde_json::from_slice(&bytes).map_err(|source| ManifestError::Malformed { path, source })?;
        Ok(Self { directory, manifest: Arc::new(manifest) })
    }

    /// Where it lies in the store. Nothing below may be changed: other environments share it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// File name of the wheel.
    pub fn file_name(&self) -> &WheelFileName {
        &self.manifest.file_name
    }

    /// SHA-256 of the wheel.
    pub fn sha256(&self) -> Sha256 {
        self.manifest.sha256
    }

    /// The project's name from METADATA, normalised.
    pub fn name(&self) -> &PackageName {
        &self.manifest.name
    }

    /// The version from METADATA.
    pub fn version(&self) -> &Version {
        &self.manifest.version
    }

    /// `Requires-Python` from METADATA.
    pub fn requires_python(&self) -> Option<&VersionSpecifiers> {
        self.manifest.requires_python.as_ref()
    }

    /// `Provides-Extra` from METADATA.
    pub fn provides_extra(&self) -> &[ExtraName] {
        &self.manifest.provides_extra
    }

    /// `Requires-Dist` from METADATA; without those that only an extra activates unless
    /// `with_extras`.
    pub fn requires_dist(&self, with_extras: bool) -> impl Iterator<Item = Requirement> + '_ {
        let wanted = move |stored: &&StoredRequirement| with_extras || !stored.only_with_extra;
        // Each text was written by a Requirement; one that no longer parses would be a newer format.
        self.manifest
            .requires_dist
            .iter()
            .filter(wanted)
            .filter_map(|stored| parse_requirement(&stored.text).ok())
    }

    /// A file of this wheel that is missing from `site`, the `site-packages` it should be in, or is not all
    /// there.
    pub(crate) fn damaged_module(&self, site: &Path) -> Option<PathBuf> {
        let files = self.manifest.files.iter().filter(|file| file.scheme == Scheme::Site);
        let compiled = self.manifest.compiled.iter().map(|path| (path, 1));
        let mut files = files.map(|file| (&file.path, file.size)).chain(compiled);
        // A RECORD may be longer than in the store: what is outside of `site` is added to it.
        let is_damaged =
            |path: &Path, size| fs_err::metadata(path).map_or(true, |metadata| metadata.len() < size);
        files.find_map(|(path, size)| Some(site.join(path)).filter(|path| is_damaged(path, size)))
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}
