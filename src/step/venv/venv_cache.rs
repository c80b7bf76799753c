//! Finished environments, kept between builds: one is a function of the interpreter, of the wheels in it, of
//! the program that runs in it and of the path at which it is seen, so builds that agree on these may share
//! it, as long as none can write to it. Processes may share a cache: an environment appears in it by one rename, and is removed only when
//! nobody uses it. Knows nothing of sandboxes; whoever uses it mounts it read-only.
//!
//! ```text
//! ROOT/KEY/bin …         an environment; the time of its directory says when it was last used
//! ROOT/programs/KEY.pyc  a program, byte-compiled for an interpreter
//! ROOT/tmp/XXXXXX        being made or being removed, or left behind by a crash
//! ```

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err::File;
use serde::{Serialize, Serializer};

use super::byte_compile::{byte_compile, compiled_path};
use super::unpacked_wheel::UnpackedWheel;
use super::virtual_environment::{Venv, VenvError, site_packages};
use super::wheel_store;
use crate::digest::Sha256;
use crate::packaging::interpreter::Interpreter;
use crate::scratch::staging::{Staging, discard};
use crate::step::helper::Helpers;

/// Name of the program in an environment.
const PROGRAM: &str = "program.py";
/// Part of every key; to be raised when environments are written in another way.
const LAYOUT: u32 = 1;
/// Environments nobody has used for this long are removed when a new one is made.
const UNUSED: Duration = Duration::from_secs(14 * 24 * 3600);
/// How much older than its last use an environment may look.
const TOUCHED: Duration = Duration::from_secs(3600);

/// A directory of environments.
#[derive(Clone, Debug)]
pub struct VenvCache {
    root: PathBuf,
    helpers: Helpers,
}

/// What an environment is made of.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct VenvPlan<'a> {
    /// Where processes see it; absolute.
    pub visible_at: &'a Path,
    /// Its interpreter.
    pub interpreter: &'a Interpreter,
    /// What is installed in it, in this order.
    #[serde(serialize_with = "digests")]
    pub wheels: &'a [UnpackedWheel],
    /// The program that runs in it: Python source. Byte-compiled, because every run would compile it anew.
    pub program: &'a str,
    /// Whether it is [lenient](Venv::overlook).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub overlooks: bool,
}

/// An environment of a cache. While this exists, no process removes it.
#[derive(Debug)]
pub struct CachedVenv {
    directory: PathBuf,
    program: PathBuf,
    /// A shared lock; whoever removes the environment has the exclusive one.
    _in_use: File,
}

impl CachedVenv {
    /// Where it lies: an absolute path without links. Nothing below may be changed: other builds use it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The program, as processes see it.
    pub fn program(&self) -> &Path {
        &self.program
    }
}

impl VenvCache {
    /// The cache at `root`, which is made with its first environment; `helpers` are for its byte code.
    pub fn open(root: PathBuf, helpers: Helpers) -> Self {
        Self { root, helpers }
    }

    /// The environment `plan` describes; made if there is none.
    pub fn venv(&self, plan: VenvPlan) -> Result<CachedVenv, VenvError> {
        let place = self.root.join(plan.key()?.to_string());
        if let Some(found) = plan.find(&place) {
            return Ok(found);
        }
        self.remove_unused();
        let staging = Staging::new(self.temporary())?;
        plan.make(staging.path(), self.compiled_program(&plan).as_deref())?;
        staging.publish(&place, |place| plan.is_sound(place))?;
        let vanished = || io::Error::other(format!("`{}` vanished", place.display()));
        Ok(plan.find(&place).ok_or_else(vanished)?)
    }

    /// Removes `venv` if a module of `wheels` in it is damaged or lost, and returns which: cleaners of caches do
    /// such things, and so do full disks. To be asked after a build that failed.
    pub fn discard_if_damaged(
        &self,
        venv: &CachedVenv,
        interpreter: &Interpreter,
        wheels: &[UnpackedWheel],
    ) -> Option<PathBuf> {
        let site = venv.directory.join(site_packages(interpreter));
        let damaged = wheels.iter().find_map(|wheel| wheel.damaged_module(&site))?;
        // If it cannot be removed, the next build will say the same.
        let _ = discard(&self.temporary(), &venv.directory);
        Some(damaged)
    }

    /// The program of `plan`, byte-compiled once for each interpreter; none if that fails, as it can be run all
    /// the same.
    fn compiled_program(&self, plan: &VenvPlan) -> Option<PathBuf> {
        let key = Sha256::of(&serde_json::to_vec(&(plan.interpreter, plan.program)).ok()?);
        let place = self.root.join("programs").join(format!("{key}.pyc"));
        if !is_filled(&place) {
            let staging = Staging::new(self.temporary()).ok()?;
            fs_err::write(staging.path().join(PROGRAM), plan.program).ok()?;
            byte_compile(staging.path(), &[PROGRAM], plan.interpreter, &self.helpers).ok()?;
            fs_err::create_dir_all(place.parent()?).ok()?;
            fs_err::rename(staging.path().join(compiled_path(PROGRAM, plan.interpreter)?), &place).ok()?;
        }
        Some(place)
    }

    fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Failing to costs only disk space.
    fn remove_unused(&self) {
        for entry in fs_err::read_dir(&self.root).into_iter().flatten().flatten() {
            let place = entry.path();
            let is_environment =
                entry.file_name().to_str().is_some_and(|name| name.parse::<Sha256>().is_ok());
            if is_environment && age(&place).is_some_and(|age| age > UNUSED) {
                let _ = self.remove_if_unused(&place);
            }
        }
    }

    fn remove_if_unused(&self, place: &Path) -> io::Result<()> {
        let lock = File::open(place)?;
        lock.file().try_lock()?;
        // Somebody may have used it, and let go of it, since its age was looked at.
        if age(place).is_some_and(|age| age > UNUSED) {
            discard(&self.temporary(), place)?;
        }
        Ok(())
    }
}

impl VenvPlan<'_> {
    /// Everything the environment depends on.
    fn key(&self) -> Result<Sha256, VenvError> {
        let unusable = |_| VenvError::InterpreterPath(self.interpreter.executable.clone());
        Ok(Sha256::of(&serde_json::to_vec(&(LAYOUT, wheel_store::LAYOUT, self)).map_err(unusable)?))
    }

    /// Makes the environment in `directory`. `compiled` is its program's compiled form.
    fn make(&self, directory: &Path, compiled: Option<&Path>) -> Result<(), VenvError> {
        let mut venv = Venv::create(directory, self.visible_at, self.interpreter)?;
        if self.overlooks {
            venv.overlook();
        }
        for wheel in self.wheels {
            venv.install(wheel)?;
        }
        fs_err::write(directory.join(PROGRAM), self.program)?;
        if let (Some(compiled), Some(path)) = (compiled, compiled_path(PROGRAM, self.interpreter)) {
            let path = directory.join(path);
            fs_err::create_dir_all(path.parent().unwrap_or(directory))?;
            fs_err::copy(compiled, path)?;
        }
        Ok(())
    }

    /// The environment at `place`, now in use, if there is a sound one.
    fn find(&self, place: &Path) -> Option<CachedVenv> {
        let directory = File::open(place).ok()?;
        // Who has the exclusive lock is about to rename it away, which takes no time. Where file systems
        // have no locks, nobody gets that one.
        let _ = directory.file().lock_shared();
        let (locked, current) = (directory.metadata().ok()?, fs_err::metadata(place).ok()?);
        if (locked.dev(), locked.ino()) != (current.dev(), current.ino()) || !self.is_sound(place) {
            return None;
        }
        if age(place).is_none_or(|age| age > TOUCHED) {
            let _ = directory.file().set_modified(SystemTime::now());
        }
        let compiled = compiled_path(PROGRAM, self.interpreter).filter(|path| is_filled(&place.join(path)));
        let program = self.visible_at.join(compiled.as_deref().unwrap_or(PROGRAM));
        Some(CachedVenv { directory: fs_err::canonicalize(place).ok()?, program, _in_use: directory })
    }

    /// Whether its program can start; `bin/python` is a link to an interpreter outside.
    fn is_sound(&self, place: &Path) -> bool {
        ["bin/python", "pyvenv.cfg", PROGRAM].iter().all(|name| is_filled(&place.join(name)))
    }
}

fn digests<S: Serializer>(wheels: &&[UnpackedWheel], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(wheels.iter().map(UnpackedWheel::sha256))
}

/// Whether there is such a file and something in it: a machine that goes down may leave empty ones.
fn is_filled(path: &Path) -> bool {
    fs_err::metadata(path).is_ok_and(|metadata| metadata.len() > 0)
}

/// The time since its last use; none if there is no such directory. A use that is yet to come is somebody's mistake, or that
/// of a clock: nobody knows how old such a directory is, and it must not stay for ever.
fn age(place: &Path) -> Option<Duration> {
    let used = fs_err::metadata(place).and_then(|metadata| metadata.modified()).ok()?;
    Some(SystemTime::now().duration_since(used).unwrap_or(Duration::MAX))
}
