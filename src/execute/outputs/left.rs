//! Where outputs are looked for. Knows nothing of which.

use std::os::fd::OwnedFd;
use std::path::Path;

use crate::execute::input::InputDirectory;

/// An exec root as a dead command has left it.
pub(crate) struct LeftExecRoot<'a> {
    /// The exec root as the command saw it.
    pub root: &'a OwnedFd,
    /// A host directory with everything that is the command's own, at the same paths: the upper directory of its
    /// overlay, or the exec root itself. A regular file in there is the one seen in `root`.
    pub own: &'a Path,
    /// What `root` shows where `own` has nothing; none if everything is in `own`.
    pub inputs: Option<&'a InputDirectory>,
    /// The command could not give to anybody who outlives it a file that is open for writing.
    pub closed_off: bool,
}
