//! Leftovers of a process that was killed: moved out of the way when a store is opened, deleted in the background.
//! Knows nothing of blobs.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::layout::{OLD, TEMPORARY, TREES, VARIANTS, WORK};
use crate::scratch::removal::remove;

/// Moves away what the last process left: blobs half written, everything in `work`, second inodes, and the trees
/// whose names start with a dot, which are unfinished.
pub(super) fn set_aside(store: &Path) -> std::io::Result<()> {
    for own in [TEMPORARY, TREES, WORK] {
        fs_err::create_dir_all(store.join(own))?;
    }
    for entry in fs_err::read_dir(store.join(TEMPORARY))? {
        let path = entry?.path();
        if !is_empty(&path)? {
            set_aside_one(store, &path)?;
        }
    }
    for name in [WORK, VARIANTS] {
        let path = store.join(name);
        if path.exists() && !is_empty(&path)? {
            set_aside_one(store, &path)?;
            fs_err::create_dir(&path)?;
        }
    }
    for entry in fs_err::read_dir(store.join(TREES))? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            set_aside_one(store, &entry.path())?;
        }
    }
    Ok(())
}

/// Whether there is nothing in a directory; directories that are empty need not be made anew.
fn is_empty(directory: &Path) -> std::io::Result<bool> {
    Ok(fs_err::read_dir(directory)?.next().is_none())
}

/// Moves something away; its new name in the store is returned. What is gone already is no matter.
pub(super) fn set_aside_one(store: &Path, path: &Path) -> std::io::Result<String> {
    let name = format!("tmp/{OLD}{}", uuid::Uuid::new_v4());
    let aside = store.join(&name);
    let moved = match fs_err::rename(path, &aside) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // Only directories that may be written to may move elsewhere.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
            fs_err::rename(path, &aside)
        }
        other => other,
    };
    moved.map(|()| name)
}

/// Deletes what was set aside, as long as `stopped` says no. What cannot be deleted is left to the next start.
pub(super) fn sweep(store: &Path, stopped: impl Fn() -> bool) {
    let Ok(entries) = fs_err::read_dir(store.join("tmp")) else { return };
    for entry in entries.flatten() {
        if stopped() {
            return;
        }
        if entry.file_name().as_encoded_bytes().starts_with(OLD.as_bytes())
            && let Err(error) = remove(entry.path())
        {
            tracing::warn!(%error, "cannot delete what an earlier process left");
        }
    }
}
