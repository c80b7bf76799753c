//! The environment a backend runs in: which wheels are in it, and whether it is its own or shared with other
//! builds. Of what runs in it, it knows only that `run_backend.py` starts it.

use std::path::{Path, PathBuf};

use pep508_rs::Requirement;

use super::unmet_requirements;
use super::unmet_requirements::UnmetRequirement;
use super::unpacked_wheel::UnpackedWheel;
use super::venv_cache::{CachedVenv, VenvCache, VenvPlan};
use super::virtual_environment::{Venv, VenvError};
use super::wheel_store::{WheelStore, WheelStoreError};
use super::wheelhouse;
use crate::contract::{Failure, FailureClass, GivenWheels};
use crate::digest::Sha256;
use crate::packaging::interpreter::Interpreter;
use crate::step::backend::hooks::SCRIPT;
use crate::step::error::StepError;
use crate::step::helper::Helpers;

/// Where unpacked wheels and finished environments are kept, and for which interpreter.
pub(crate) struct VenvMaker<'a> {
    store: WheelStore,
    cache: VenvCache,
    interpreter: &'a Interpreter,
    program: &'static str,
    /// Whether environments are [lenient](Venv::overlook).
    overlooks: bool,
}

/// An environment with everything in it.
pub(crate) enum BuildVenv {
    /// Of this build alone; it may be written to. What runs in it is elsewhere.
    Own,
    /// Of all builds with the same requirements; to be mounted read-only.
    Shared(CachedVenv),
}

impl<'a> VenvMaker<'a> {
    /// Keeps what it makes below `cache`.
    pub fn new(cache: &Path, interpreter: &'a Interpreter, helpers: &Helpers) -> Self {
        let store = WheelStore::open(cache.join("unpacked"), helpers.clone());
        let cache = VenvCache::open(cache.join("venvs"), helpers.clone());
        Self { store, cache, interpreter, program: SCRIPT, overlooks: false }
    }

    /// Makes environments in which `program` tries what others installed: whatever of it does not fit, and without byte
    /// code, as most of it will not be needed.
    pub fn for_trials(self, program: &'static str) -> Self {
        Self { store: self.store.without_byte_code(), program, overlooks: true, ..self }
    }

    /// The wheel at `path`, unpacked; see [`WheelStore::unpacked`].
    pub fn unpacked(&self, path: &Path, digest: Option<Sha256>) -> Result<UnpackedWheel, WheelStoreError> {
        self.store.unpacked(path, digest, self.interpreter)
    }

    /// The wheels of `given` that go into the environment, unpacked. `required` by pyproject.toml must be
    /// among them.
    pub fn wheels(
        &self,
        given: &[GivenWheels],
        required: &[Requirement],
    ) -> Result<Vec<UnpackedWheel>, StepError> {
        let interpreter = self.interpreter;
        let tags = interpreter.compatible_tags(interpreter.target(), interpreter.glibc());
        let chosen = wheelhouse::choose(given, &tags, required)?;
        let unpack = |(path, digest): &(PathBuf, _)| self.store.unpacked(path, *digest, interpreter);
        let wheels = chosen.iter().map(unpack).collect::<Result<Vec<_>, WheelStoreError>>()?;
        refuse_missing(required, &wheels, interpreter, "pyproject.toml")?;
        Ok(wheels)
    }

    /// An environment with `wheels`, made in `directory` for this build alone.
    pub fn own(
        &self,
        directory: &Path,
        visible_at: &Path,
        wheels: &[UnpackedWheel],
    ) -> Result<BuildVenv, StepError> {
        let make = || {
            let mut venv = Venv::create(directory, visible_at, self.interpreter)?;
            // The build can write to what is in its own venv.
            venv.copy_files();
            if self.overlooks {
                venv.overlook();
            }
            wheels.iter().try_for_each(|wheel| venv.install(wheel))
        };
        make().map(|()| BuildVenv::Own).map_err(|error| self.blame(error, wheels))
    }

    /// An environment with `wheels` that other builds may use, too.
    pub fn shared(&self, visible_at: &Path, wheels: &[UnpackedWheel]) -> Result<BuildVenv, StepError> {
        let Self { interpreter, program, overlooks, .. } = *self;
        let plan = VenvPlan { visible_at, interpreter, wheels, program, overlooks };
        let venv = self.cache.venv(plan);
        venv.map(BuildVenv::Shared).map_err(|error| self.blame(error, wheels))
    }

    /// Makes sure that a failed build did not fail for what happened to the cache.
    pub fn check(&self, venv: &BuildVenv, wheels: &[UnpackedWheel]) -> Result<(), StepError> {
        let in_venv = match venv {
            BuildVenv::Own => None,
            BuildVenv::Shared(venv) => self.cache.discard_if_damaged(venv, self.interpreter, wheels),
        };
        // Files of both are one and the same.
        match self.store.discard_damaged(wheels).or(in_venv) {
            Some(damaged) => Err(damage(&damaged)),
            None => Ok(()),
        }
    }

    /// The error for an environment that could not be made: perhaps because the store is damaged.
    fn blame(&self, error: VenvError, wheels: &[UnpackedWheel]) -> StepError {
        match self.store.discard_damaged(wheels) {
            Some(damaged) => damage(&damaged),
            None => error.into(),
        }
    }
}

fn damage(damaged: &Path) -> StepError {
    StepError::Host {
        attempt: "use what is in the cache",
        reason: format!(
            "`{}` is damaged or gone; everything it belongs to was removed and will be made anew: build again",
            damaged.display()
        ),
    }
}

/// Fails if `installed` does not satisfy `requires`, as `who` wants it.
pub(crate) fn refuse_missing(
    requires: &[Requirement],
    installed: &[UnpackedWheel],
    interpreter: &Interpreter,
    who: &str,
) -> Result<(), Failure> {
    let missing = unmet_requirements::missing(requires, installed, &interpreter.markers);
    if missing.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = missing.iter().map(UnmetRequirement::to_string).collect();
    let mut failure = Failure::new(
        FailureClass::MissingBuildRequirement,
        format!("{who} asks for what is not installed: {}", list.join("; ")),
    )
    .with_hint("give their wheels, and those of what they need in turn, with --build-wheels FILE_OR_DIRECTORY; `crosswheel build` finds them by itself");
    failure.missing_requirements = missing.iter().map(|missing| missing.requirement.to_string()).collect();
    Err(failure)
}
