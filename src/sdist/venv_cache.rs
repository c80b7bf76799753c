//! Finished environments, kept between builds: one is a function of the interpreter, of the wheels in it and
//! of the path at which it is seen, so builds that agree on these may share it, as long as none can write to
//! it. Processes may share a cache: an environment appears in it by one rename, and is removed only when
//! nobody uses it. Knows nothing of sandboxes; whoever uses it mounts it read-only.
//!
//! ```text
//! ROOT/KEY/bin …     an environment; the time of its directory says when it was last used
//! ROOT/tmp/XXXXXX    being made or being removed, or left behind by a crash
//! ```

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err::File;

use super::interpreter::Interpreter;
use super::staging::{Staging, discard};
use super::unpacked_wheel::UnpackedWheel;
use super::venv::{Venv, VenvError, site_packages};
use super::wheel_store;
use crate::digest::Sha256;

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
}

/// An environment of a cache. While this exists, no process removes it.
#[derive(Debug)]
pub struct CachedVenv {
    directory: PathBuf,
    /// A shared lock; whoever removes the environment has the exclusive one.
    _in_use: File,
}

impl CachedVenv {
    /// Where it lies. Nothing below may be changed: other builds use it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl VenvCache {
    /// The cache at `root`, which is made with its first environment.
    pub fn open(root: PathBuf) -> Self {
        Self { root }
    }

    /// The environment of `interpreter` with `wheels`, in this order, for processes that see it at
    /// `visible_at`; made if there is none.
    pub fn venv(
        &self,
        visible_at: &Path,
        interpreter: &Interpreter,
        wheels: &[UnpackedWheel],
    ) -> Result<CachedVenv, VenvError> {
        let place = self.root.join(key(visible_at, interpreter, wheels)?.to_string());
        if let Some(found) = find(&place) {
            return Ok(found);
        }
        self.remove_unused();
        let staging = Staging::new(self.temporary())?;
        let mut venv = Venv::create(staging.path(), visible_at, interpreter)?;
        for wheel in wheels {
            venv.install(wheel)?;
        }
        staging.publish(&place, is_sound)?;
        let vanished = || io::Error::other(format!("`{}` vanished", place.display()));
        Ok(find(&place).ok_or_else(vanished)?)
    }

    /// Removes `venv` if a module of `wheels` is missing from it, and returns which: cleaners of caches do
    /// such things, and so do full disks. To be asked after a build that failed.
    pub fn discard_if_damaged(
        &self,
        venv: &CachedVenv,
        interpreter: &Interpreter,
        wheels: &[UnpackedWheel],
    ) -> Option<PathBuf> {
        let site = venv.directory.join(site_packages(interpreter));
        let missing = wheels.iter().find_map(|wheel| wheel.missing_module(&site))?;
        // If it cannot be removed, the next build will say the same.
        let _ = discard(&self.temporary(), &venv.directory);
        Some(missing)
    }

    fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Failing to costs only disk space.
    fn remove_unused(&self) {
        for entry in fs_err::read_dir(&self.root).into_iter().flatten().flatten() {
            let place = entry.path();
            if place != self.temporary() && age(&place).is_some_and(|age| age > UNUSED) {
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

/// Everything an environment depends on.
fn key(visible_at: &Path, interpreter: &Interpreter, wheels: &[UnpackedWheel]) -> Result<Sha256, VenvError> {
    let digests: Vec<Sha256> = wheels.iter().map(UnpackedWheel::sha256).collect();
    let parts = (LAYOUT, wheel_store::LAYOUT, visible_at.as_os_str().as_bytes(), interpreter, digests);
    let text =
        serde_json::to_vec(&parts).map_err(|_| VenvError::InterpreterPath(interpreter.executable.clone()))?;
    Ok(Sha256::of(&text))
}

/// The environment at `place`, now in use, if there is a sound one.
fn find(place: &Path) -> Option<CachedVenv> {
    let directory = File::open(place).ok()?;
    // Who has the exclusive lock is about to rename it away, which takes no time. Where file systems have
    // no locks, nobody gets that one.
    let _ = directory.file().lock_shared();
    let (locked, current) = (directory.metadata().ok()?, fs_err::metadata(place).ok()?);
    if (locked.dev(), locked.ino()) != (current.dev(), current.ino()) || !is_sound(place) {
        return None;
    }
    if age(place).is_none_or(|age| age > TOUCHED) {
        let _ = directory.file().set_modified(SystemTime::now());
    }
    Some(CachedVenv { directory: place.to_owned(), _in_use: directory })
}

/// Whether Python can start in it; `bin/python` is a link to an interpreter outside.
fn is_sound(place: &Path) -> bool {
    ["bin/python", "pyvenv.cfg"].iter().all(|name| place.join(name).exists())
}

/// The time since its last use; none if that is in the future, or there is no such directory.
fn age(place: &Path) -> Option<Duration> {
    let used = fs_err::metadata(place).and_then(|metadata| metadata.modified()).ok()?;
    SystemTime::now().duration_since(used).ok()
}
