//! Input roots of which an action gets its own copy. Knows nothing of trees.

use std::path::Path;
use std::sync::Arc;

use super::directory::InputDirectory;
use super::layer;
use super::read::{all_blobs, explain, pin_files};
use crate::cas::DiskStore;
use crate::execute::error::ExecuteError;

/// Makes the directory `place` with copies of all of `directory`, read-only as the files of a tree are.
///
/// # Errors
/// [`ExecuteError::MissingInputs`] with all files whose blobs are missing.
pub fn write_copies(
    store: &DiskStore,
    directory: &Arc<InputDirectory>,
    place: &Path,
) -> Result<(), ExecuteError> {
    let needed = all_blobs(directory);
    let _pins = pin_files(store, &needed)?;
    layer::write_copies(store, directory, place).map_err(|error| explain(error, store, &needed))
}
