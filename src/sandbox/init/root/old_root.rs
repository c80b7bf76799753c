//! Where the host's root is while a new one is made. Knows nothing of the new one.

use std::path::{Path, PathBuf};

/// Where the host's root is while a new one is made: where the command will have its shared memory, as that is
/// the one place at which nobody wants to see anything else.
pub(super) const OLD_ROOT: &str = "/dev/shm";

/// Where a path of the host is meanwhile.
pub(super) fn below_old_root(path: &Path) -> PathBuf {
    Path::new(OLD_ROOT).join(path.strip_prefix("/").unwrap_or(path))
}
