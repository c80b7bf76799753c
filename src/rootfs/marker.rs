//! The file in a root that says that crosswheel made it, and of what. Only such roots are ever replaced.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::scratch::file::{self, FileAccess};

/// The file at the top of a root that says who made it.
pub const MARKER: &str = ".crosswheel-root.json";

/// What stands in [`MARKER`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Version of crosswheel.
    pub crosswheel: String,
    /// The architecture, as the `Arch` property has it.
    pub arch: String,
    /// What it was made from, in words.
    pub source: String,
}

/// What the root at `root` says of who made it, if crosswheel did.
pub fn read_marker(root: &Path) -> Option<Marker> {
    let path = root.join(MARKER);
    // Not through a link.
    fs_err::symlink_metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
    serde_json::from_slice(&fs_err::read(path).ok()?).ok()
}

/// Never through a link that an archive has put there.
pub(super) fn write_marker(root: &Path, marker: &Marker) -> io::Result<()> {
    file::write(&root.join(MARKER), &serde_json::to_vec_pretty(marker)?, FileAccess::Mode(0o644))
}
