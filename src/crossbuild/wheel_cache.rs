//! Wheels that were built before, by everything that decided them, and how a wheel gets to the user.
//! Knows nothing of what decides a wheel: that is the step's key.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::cache::Cache;
use super::download::check_file_name;
use super::failure::BuildFailure;
use super::interrupt::Interrupt;
use super::sdists::Sdists;
use crate::digest::Sha256;
use crate::sdist::report::Report;

const REPORT: &str = "report.json";

/// The built wheels of the cache.
#[derive(Debug)]
pub struct WheelCache {
    cache: Arc<Cache>,
}

/// What happened to the file in the output directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// There was none.
    New,
    /// The same bytes were there already.
    Unchanged,
    /// Other bytes were there, under the same name.
    Replaced,
}

impl WheelCache {
    /// Keeps wheels in `cache`.
    pub fn new(cache: Arc<Cache>) -> Self {
        Self { cache }
    }

    /// The wheel with `key` and the report of its build. A wheel that is not the one that was built is
    /// none; `sdists` remembers digests of files that have not changed.
    pub fn get(&self, key: Sha256, sdists: &Sdists) -> Option<(PathBuf, Report)> {
        let directory = self.cache.wheel(key);
        let report: Report = serde_json::from_slice(&fs_err::read(directory.join(REPORT)).ok()?).ok()?;
        let wheel = directory.join(&report.file_name);
        let intact = sdists.digest(&wheel).is_ok_and(|found| found == report.sha256);
        intact.then_some((wheel, report))
    }

    /// Keeps the wheel `report` speaks of, which is all there is in `out`, a temporary directory of this run.
    pub fn put(&self, key: Sha256, out: TempDir, report: &Report) -> Result<PathBuf, BuildFailure> {
        check_file_name(&report.file_name)?;
        fs_err::metadata(out.path().join(&report.file_name))?;
        fs_err::write(out.path().join(REPORT), serde_json::to_vec(report).map_err(std::io::Error::from)?)?;
        let destination = self.cache.wheel(key);
        self.cache.publish_directory(out.path(), &destination)?;
        // It has moved away; there is nothing left to remove.
        let _ = out.keep();
        Ok(destination.join(&report.file_name))
    }
}

/// Puts a copy of `wheel`, with digest `sha256`, into the directory `out`, whole or not at all.
pub fn publish(
    wheel: &Path,
    sha256: Sha256,
    out: &Path,
    sdists: &Sdists,
    interrupt: &Interrupt,
) -> Result<(PathBuf, Published), BuildFailure> {
    fs_err::create_dir_all(out)?;
    let out = fs_err::canonicalize(out)?;
    let destination = out.join(wheel.file_name().unwrap_or_default());
    let published = match fs_err::symlink_metadata(&destination) {
        Err(_) => Published::New,
        Ok(_) if sdists.digest(&destination).is_ok_and(|existing| existing == sha256) => {
            return Ok((destination, Published::Unchanged));
        }
        Ok(_) => Published::Replaced,
    };
    interrupt.publishing(|| -> std::io::Result<()> {
        let temporary = tempfile::Builder::new().prefix(".crosswheel-").tempfile_in(&out)?.into_temp_path();
        fs_err::copy(wheel, &temporary)?;
        // Temporary files are private; a wheel is as public as the step made it.
        let mode = fs_err::metadata(wheel)?.permissions().mode() & 0o777;
        fs_err::set_permissions(&temporary, std::fs::Permissions::from_mode(mode))?;
        temporary.persist(&destination).map_err(|error| error.error)
    })?;
    Ok((destination, published))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_is_published_once_and_replaced_only_by_other_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let sdists = Sdists::new(Arc::new(Cache::open(&directory.path().join("cache")).unwrap()));
        let (wheel, out) = (directory.path().join("a.whl"), directory.path().join("dist"));
        let publish = |content: &str| {
            fs_err::write(&wheel, content).unwrap();
            let interrupt = Interrupt::never();
            publish(&wheel, Sha256::of(content.as_bytes()), &out, &sdists, &interrupt).unwrap()
        };
        assert_eq!(publish("one").1, Published::New);
        assert_eq!(publish("one").1, Published::Unchanged);
        let (path, published) = publish("two");
        assert_eq!(published, Published::Replaced);
        assert_eq!(fs_err::read_to_string(path).unwrap(), "two");
        assert_eq!(fs_err::read_dir(&out).unwrap().count(), 1);
    }
}
