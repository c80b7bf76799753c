//! What a dead command has left at the paths that the client asked for: found, put into the store, described.
//! Knows nothing of how the command ran.
//!
//! Everything is looked at through one open directory, from which no path and no link leads out (openat2(2)); a
//! symlink among outputs is reported and never followed. In the middle of a path it is followed as long as it
//! stays inside.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::describe;
use super::digest;
use crate::cancellation::Cancellation;
use crate::cas::DiskStore;
use crate::digest::DigestFunction;
use crate::execute::command::Command;
use crate::execute::error::ExecuteError;
use crate::execute::input::InputDirectory;
use crate::reapi::{ActionResult, symlink_absolute_path_strategy};

use super::find::Finding;

/// What capabilities say about symlinks with absolute targets: they are made and reported as they are. (Nothing
/// here follows them; what the command sees at the target is the sandbox's affair.)
pub const ABSOLUTE_SYMLINKS: symlink_absolute_path_strategy::Value =
    symlink_absolute_path_strategy::Value::Allowed;

/// Where a dead command has left its outputs.
pub(crate) struct Left<'a> {
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

/// Puts outputs into the store and fills in the fields of `result` for them. Returns notes for the person who
/// waits.
///
/// `lenient` says that the command has failed, so that an output that cannot be had is only worth a note.
///
/// # Errors
/// [`ExecuteError::Refused`] for an output that is not what the client asked for or cannot be told in the API's
/// terms (a socket, a name that is not Unicode), [`ExecuteError::Cancelled`], and what goes wrong with files and
/// the store.
pub(crate) fn collect(
    command: &Command,
    left: &Left<'_>,
    store: &DiskStore,
    function: DigestFunction,
    lenient: bool,
    cancellation: &Cancellation,
    result: &mut ActionResult,
) -> Result<Vec<String>, ExecuteError> {
    let mut finding = Finding::new(left, command.output_properties);
    let mut found = Vec::new();
    let mut notes = Vec::new();
    let mut absent = Vec::new();
    for output in &command.outputs {
        match finding.output(output) {
            Ok(Some(node)) => found.push((output, node)),
            Ok(None) => absent.push(format!("`{}`", output.name)),
            Err(ExecuteError::Refused(problem)) if lenient => notes.push(problem),
            Err(error) => return Err(error),
        }
    }
    if !absent.is_empty() {
        notes.push(format!("the command did not make {}", enumerate(&absent)));
    }
    let digests = digest::store_files(&finding.files, left, store, function, cancellation)?;
    describe::describe(command, &found, &digests, store, function, result)?;
    Ok(notes)
}

fn enumerate(names: &[String]) -> String {
    const MOST: usize = 10;
    match names.len().checked_sub(MOST) {
        Some(more) if more > 0 => format!("{} and {more} more outputs", names[..MOST].join(", ")),
        _ => names.join(", "),
    }
}

/// A file that was found. Its number is its place in [`Finding`]'s list.
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
pub(super) enum Node<D> {
    File { file: usize, executable: bool, properties: NodeProperties },
    Directory(D),
    Symlink { target: String, leads_to: Destination, properties: NodeProperties },
}

/// What was found at an output path. Of a directory, itself and all that are below it, each after the one it is in: a
/// tree of them would have to be walked, and dropped, by functions that call themselves.
pub(super) type FoundOutput = Node<Vec<FoundDirectory>>;

/// A directory that was found. Those in it are given by their places in the list.
#[derive(Debug, Default)]
pub(super) struct FoundDirectory {
    /// Sorted by name.
    pub(super) entries: Vec<(String, Node<usize>)>,
    pub(super) properties: NodeProperties,
}

pub(super) type NodeProperties = Option<crate::reapi::NodeProperties>;

/// What a symlink leads to, as far as the older output fields tell the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    Directory,
    /// A file, or nothing, or something outside.
    Other,
}

pub(super) fn refused(
    output: &crate::execute::command::Output,
    problem: impl std::fmt::Display,
) -> ExecuteError {
    ExecuteError::Refused(format!("the output `{}` {problem} ({})", output.name, output.field))
}

pub(super) fn io_error(doing: impl Into<String>) -> impl FnOnce(rustix::io::Errno) -> ExecuteError {
    |errno| ExecuteError::Io { doing: doing.into(), source: io::Error::from(errno) }
}
