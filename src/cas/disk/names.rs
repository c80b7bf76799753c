//! Names below the store's directory come and go. Knows nothing of what they name.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, mkdirat, unlinkat};
use rustix::io::Errno;

/// Removes a name, if it is there.
pub(super) fn unlink(root: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    match unlinkat(root, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// Makes a directory below `root` and those above it, where there is none.
pub(super) fn make_directories(root: &OwnedFd, path: &str) -> Result<(), Errno> {
    match mkdirat(root, path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(Errno::NOENT) => {
            let (parent, _) = path.rsplit_once('/').ok_or(Errno::NOENT)?;
            make_directories(root, parent)?;
            match mkdirat(root, path, Mode::from_raw_mode(0o755)) {
                Err(Errno::EXIST) => Ok(()),
                other => other,
            }
        }
        Err(error) => Err(error),
    }
}
