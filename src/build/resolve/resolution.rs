//! What build requirements are resolved to: wheels, and where each comes from. Knows nothing of how they are resolved.

use std::path::PathBuf;

use pep440_rs::Version;
use pep508_rs::PackageName;
use serde::{Deserialize, Serialize};
use url::Url;

use super::lock::{LockedRequirement, LockedSdist};
use crate::build::built::Built;
use crate::build::cache::Cache;
use crate::digest::Sha256;

/// A wheel to install for a build.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResolvedWheel {
    /// Normalised project name.
    pub name: PackageName,
    /// The version.
    pub version: Version,
    /// File name of the wheel.
    pub file_name: String,
    /// SHA-256 of the wheel.
    pub sha256: Sha256,
    /// Where it comes from.
    pub origin: WheelOrigin,
}

/// Where a wheel comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WheelOrigin {
    /// Fetched.
    Url(Url),
    /// Built for us from the sdist with that digest.
    Built {
        /// SHA-256 of the sdist.
        sdist: Sha256,
    },
}

/// Everything one sdist is built with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Resolution {
    /// The wheels, sorted by name.
    pub wheels: Vec<ResolvedWheel>,
    /// Lock entries of the sdists that were built to get them.
    pub built: Vec<LockedSdist>,
}

impl ResolvedWheel {
    /// Where the wheel is, or will be once it is fetched.
    pub fn path(&self, cache: &Cache) -> PathBuf {
        match self.origin {
            WheelOrigin::Url(_) => cache.download(self.sha256, &self.file_name),
            WheelOrigin::Built { .. } => cache.wheel(self.sha256).join(&self.file_name),
        }
    }

    /// The wheel `built` that has come of `sdist`.
    pub(super) fn of_built(name: PackageName, version: Version, built: &Built, sdist: Sha256) -> Self {
        Self {
            name,
            version,
            file_name: built.report.file_name.clone(),
            sha256: built.report.sha256,
            origin: WheelOrigin::Built { sdist },
        }
    }

    /// The lock's form of it.
    pub fn locked(&self) -> LockedRequirement {
        let (url, built_from) = match &self.origin {
            WheelOrigin::Url(url) => (Some(url.to_string()), None),
            WheelOrigin::Built { sdist, .. } => (None, Some(*sdist)),
        };
        LockedRequirement {
            name: self.name.clone(),
            version: self.version.clone(),
            file_name: self.file_name.clone(),
            sha256: self.sha256,
            url,
            built_from,
        }
    }
}
