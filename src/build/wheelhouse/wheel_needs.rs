//! What a wheel that was fetched needs of the machine it is installed on, worked out once for each. Knows nothing of where
//! it comes from.

use std::path::Path;
use std::time::Duration;

use pep440_rs::Version;
use pep508_rs::PackageName;
use serde::{Deserialize, Serialize};

use crate::build::cache::KeyBuilder;
use crate::build::run::Run;
use crate::cancellation::Cancellation;
use crate::digest::Sha256;
use crate::packaging::wheel_requirements::wheel_requirements;
use crate::patience::Patience;
use crate::platform::{Glibc, Target};

/// For how long one wheel is looked into.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a wheel needs of the machine it is installed on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct WheelNeeds {
    pub(super) glibc_floor: Option<Glibc>,
    pub(super) foreign_libraries: Vec<String>,
    /// The project that it says it is, and its version.
    #[serde(default)]
    pub(super) project: Option<(PackageName, Version)>,
    /// Why that is not known.
    #[serde(skip)]
    pub(super) unknown: Option<String>,
}

impl WheelNeeds {
    /// That of the wheel at `path`, with digest `sha256`, on `target`. A wheel that cannot be looked into is for installers to
    /// refuse.
    pub(super) fn of(run: &Run, path: &Path, sha256: Sha256, target: Target) -> Self {
        let key = KeyBuilder::default()
            .part("crosswheel", env!("CARGO_PKG_VERSION"))
            .part("wheel", sha256.to_string())
            .part("target", target.to_string())
            .finish();
        if let Some((known, _)) = run.cache.read::<Self>("wheel-needs", key) {
            return known;
        }
        let cancellation = Cancellation::default();
        let found = match wheel_requirements(path, target.arch, Patience::of(PATIENCE, &cancellation)) {
            Ok(found) => found,
            Err(error) => return Self { unknown: Some(error.to_string()), ..Self::default() },
        };
        let needs = Self {
            glibc_floor: found.glibc_floor,
            foreign_libraries: found.foreign_libraries,
            project: found.project,
            unknown: None,
        };
        // What is not remembered is found out again.
        let _ = run.cache.write("wheel-needs", key, &needs);
        needs
    }
}
