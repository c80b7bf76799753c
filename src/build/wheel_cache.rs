//! Built wheels by their digests, and how a wheel gets to the user. Which step made which wheel is the executor's
//! to know (its action cache).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cache::Cache;
use super::index::download::check_file_name;
use super::inputs::sdists::Sdists;
use super::interrupt::Interrupt;
use crate::contract::{Failure, Report};
use crate::digest::Sha256;
use crate::scratch::file::{self, FileAccess};

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

    /// The wheel `report` speaks of: the one that is here, if it is still what it was, or else what `fetch` puts
    /// where it is told to. `sdists` remembers digests of files that have not changed.
    pub fn have(
        &self,
        report: &Report,
        sdists: &Sdists,
        fetch: impl FnOnce(&Path) -> Result<(), Failure>,
    ) -> Result<PathBuf, Failure> {
        check_file_name(&report.file_name)?;
        let directory = self.cache.wheel(report.sha256);
        let wheel = directory.join(&report.file_name);
        let intact = wheel.is_file() && sdists.digest(&wheel).is_ok_and(|found| found == report.sha256);
        if !intact {
            let fetched = self.cache.temporary_directory()?;
            fetch(&fetched.path().join(&report.file_name))?;
            self.cache.publish_directory(fetched.path(), &directory)?;
        }
        Ok(wheel)
    }
}

/// Puts a copy of `wheel`, with digest `sha256`, into the directory `out`, whole or not at all. It is as public as `access`
/// says, or as the step made it.
pub fn publish(
    wheel: &Path,
    sha256: Sha256,
    out: &Path,
    access: Option<FileAccess>,
    sdists: &Sdists,
    interrupt: &Interrupt,
) -> Result<(PathBuf, Published), Failure> {
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
        let mut wheel = fs_err::File::open(wheel)?;
        let access = match access {
            Some(access) => access,
            None => FileAccess::Mode(wheel.metadata()?.permissions().mode() & 0o777),
        };
        file::write_from(&destination, &mut wheel, access)
    })?;
    sdists.wrote(&destination, sha256);
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
            publish(&wheel, Sha256::of(content.as_bytes()), &out, None, &sdists, &interrupt).unwrap()
        };
        assert_eq!(publish("one").1, Published::New);
        assert_eq!(publish("one").1, Published::Unchanged);
        let (path, published) = publish("two");
        assert_eq!(published, Published::Replaced);
        assert_eq!(fs_err::read_to_string(path).unwrap(), "two");
        assert_eq!(fs_err::read_dir(&out).unwrap().count(), 1);
    }
}
