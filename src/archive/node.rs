//! What an archive has at a path, as the tree in memory keeps it. Knows nothing of the paths.

use super::member::Mtime;

/// What is at a path.
#[derive(Debug)]
pub(super) enum Node {
    Directory { mtime: Mtime },
    File { size: u64 },
    Symlink { target: Box<str>, mtime: Mtime },
}

impl Node {
    /// What it is, as messages say it.
    pub(super) fn title(&self) -> &'static str {
        match self {
            Self::Directory { .. } => "directory",
            Self::File { .. } => "file",
            Self::Symlink { .. } => "symlink",
        }
    }
}
