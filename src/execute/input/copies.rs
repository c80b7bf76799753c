//! Input roots of which an action gets its own copy. Knows nothing of trees.

use std::path::Path;
use std::sync::Arc;

use super::directory::InputDirectory;
use super::layer;
use super::source::{Source, all_blobs};
use crate::execute::error::ExecuteError;

/// Makes the directory `place` with copies of all of `directory`, read-only as the files of a tree are.
///
/// # Errors
/// [`ExecuteError::MissingInputs`] with all files whose blobs are missing.
pub fn write_copies(
    source: &Source<'_>,
    directory: &Arc<InputDirectory>,
    place: &Path,
) -> Result<(), ExecuteError> {
    let needed = all_blobs(directory);
    let _pins = source.pin(&needed)?;
    layer::write_copies(source.store, directory, place).map_err(|error| source.explain(error, &needed))
}
