//! Finds outputs, puts them into the store and describes them. Knows nothing of how the command ran.

use super::collecting::Collecting;
use super::find::Finding;
use super::{describe, digest};
use crate::execute::command::Command;
use crate::execute::error::ExecuteError;
use crate::reapi::{ActionResult, symlink_absolute_path_strategy};

/// What capabilities say about symlinks with absolute targets: they are made and reported as they are. (Nothing
/// here follows them; what the command sees at the target is the sandbox's affair.)
pub const ABSOLUTE_SYMLINKS: symlink_absolute_path_strategy::Value =
    symlink_absolute_path_strategy::Value::Allowed;

/// Puts outputs into the store and fills in the fields of `result` for them. Returns notes for the person who
/// waits.
///
/// `lenient` says that the command has failed, so that an output that cannot be had is only worth a note.
///
/// # Errors
/// [`ExecuteError::Refused`] for an output that is not what the client asked for or cannot be told in the API's
/// terms (a socket, a name that is not Unicode), [`ExecuteError::Exceeded`] for outputs that are too much,
/// [`ExecuteError::Cancelled`], and what goes wrong with files and
/// the store.
pub(crate) fn collect(
    command: &Command,
    collecting: &Collecting<'_>,
    lenient: bool,
    result: &mut ActionResult,
) -> Result<Vec<String>, ExecuteError> {
    let Collecting { kept, function, .. } = *collecting;
    let mut finding = Finding::new(collecting, command.output_properties);
    let mut found = Vec::new();
    let mut notes = Vec::new();
    let mut absent = Vec::new();
    for output in &command.outputs {
        match finding.output(output) {
            Ok(Some(node)) => found.push((output, node)),
            Ok(None) => absent.push(format!("`{}`", output.name)),
            Err(ExecuteError::Refused(problem)) if lenient => notes.push(problem),
            Err(ExecuteError::Exceeded(exceeded)) if lenient => {
                notes.push(format!("no outputs were kept: {exceeded}"));
                return Ok(notes);
            }
            Err(error) => return Err(error),
        }
    }
    if !absent.is_empty() {
        notes.push(format!("the command did not make {}", enumerate(&absent)));
    }
    let before = kept.count();
    let digests = match digest::store_files(&finding.files, collecting) {
        Ok(digests) => digests,
        Err(problem) => {
            kept.forget_after(before);
            if lenient && matches!(problem, ExecuteError::Refused(_) | ExecuteError::Exceeded(_)) {
                notes.push(format!("no outputs were kept: {problem}"));
                return Ok(notes);
            }
            return Err(problem);
        }
    };
    describe::describe(command, &found, &digests, kept, function, result)?;
    Ok(notes)
}

fn enumerate(names: &[String]) -> String {
    const MOST: usize = 10;
    match names.len().checked_sub(MOST) {
        Some(more) if more > 0 => format!("{} and {more} more outputs", names[..MOST].join(", ")),
        _ => names.join(", "),
    }
}
