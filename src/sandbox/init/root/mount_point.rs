//! Places in the new root at which something can be mounted. Knows nothing of what.

use std::fs::{DirBuilder, OpenOptions};
use std::path::Path;

use super::old_root::OLD_ROOT;
use crate::sandbox::set_up::SetUpCause;

/// Makes a directory or an empty file at `path`, if there is none. A link in an overlay, which may come from anybody,
/// must not lead to the host's own files.
pub(super) fn make_mount_point(path: &Path, directory: bool) -> Result<(), SetUpCause> {
    let existing = path.ancestors().find_map(|ancestor| ancestor.canonicalize().ok());
    if existing.is_some_and(|existing| existing.starts_with(OLD_ROOT)) {
        return Err(SetUpCause::OutsideRoot);
    }
    if directory {
        return make_directories(path);
    }
    if let Some(parent) = path.parent() {
        make_directories(parent)?;
    }
    if path.exists() {
        return Ok(());
    }
    OpenOptions::new().write(true).create_new(true).open(path)?;
    Ok(())
}

/// The caller's step names the path, so errors may be those of the standard library, which have the kernel's number.
fn make_directories(path: &Path) -> Result<(), SetUpCause> {
    Ok(DirBuilder::new().recursive(true).create(path)?)
}
