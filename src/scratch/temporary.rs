//! A directory for as long as something takes, with whatever others put into it. Where a crash must not leave it
//! behind, it has to lie in a [`super::home::LockedHome`]. Knows nothing of what it is for.

use std::io;
use std::path::{Path, PathBuf};

use super::removal::remove;

/// A new directory, private to this user; removed when dropped.
#[derive(Debug)]
pub struct TemporaryDirectory {
    path: PathBuf,
}

impl TemporaryDirectory {
    /// Makes one where this machine keeps such things.
    ///
    /// # Errors
    /// If there is no room, or no permission.
    pub fn new() -> io::Result<Self> {
        Self::new_in(&std::env::temp_dir())
    }

    /// Makes one in the directory `parent`.
    ///
    /// # Errors
    /// As [`TemporaryDirectory::new`].
    pub fn new_in(parent: &Path) -> io::Result<Self> {
        Ok(Self { path: tempfile::tempdir_in(parent)?.keep() })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it in place for good.
    pub fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.path)
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty()
            && let Err(error) = remove(&self.path)
        {
            tracing::warn!("{error}");
        }
    }
}
