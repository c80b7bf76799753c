//! What was found at the output paths. Knows nothing of how it was found.

use std::path::PathBuf;

/// A file that was found. Its number is its place in the list of all.
#[derive(Debug)]
pub(super) struct FoundFile {
    /// Relative to the exec root, through no symlink unless `through_symlink`.
    pub(super) path: PathBuf,
    pub(super) size_bytes: u64,
    /// A symlink may be on the way, so that where the file really lies is not known.
    pub(super) through_symlink: bool,
}

/// What was found at an output path or below it; `D` says which directory.
#[derive(Debug)]
pub(super) enum OutputNode<D> {
    File { file: usize, executable: bool, properties: NodeProperties },
    Directory(D),
    Symlink { target: String, leads_to: LinkTarget, properties: NodeProperties },
}

/// What was found at an output path. Of a directory, itself and all that are below it, each after the one it is in: a
/// tree of them would have to be walked, and dropped, by functions that call themselves.
pub(super) type FoundOutput = OutputNode<Vec<FoundDirectory>>;

/// A directory that was found. Those in it are given by their places in the list.
#[derive(Debug, Default)]
pub(super) struct FoundDirectory {
    /// Sorted by name.
    pub(super) entries: Vec<(String, OutputNode<usize>)>,
    pub(super) properties: NodeProperties,
}

pub(super) type NodeProperties = Option<crate::reapi::NodeProperties>;

/// What a symlink leads to, as far as the older output fields tell the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkTarget {
    Directory,
    /// A file, or nothing, or something outside.
    Other,
}
