//! Actions and commands as they lie in the store. Knows nothing of who asks for them.

use prost::Message;

use super::error::{ExecuteError, MissingInput};
use crate::cas::{BlobStore, StoreError};
use crate::digest::Digest;
use crate::reapi::{Action, Command, DECODE_ERROR_PREFIX};

/// The largest `Action` or `Command` that is read. Real ones are a few kilobytes, and what one may grow to when it is
/// decoded is twenty times this. The kernel takes 2 MiB of arguments, and clients put long lists into files.
pub const MAX_ACTION_BYTES: u64 = 4 << 20;

/// An action and its command, read in full.
///
/// # Errors
/// Those of [`read_message`].
pub fn read_action(blobs: &dyn BlobStore, digest: &Digest) -> Result<(Action, Command), ExecuteError> {
    let action: Action = read_message(blobs, digest, "action")?;
    let command = Digest::from_field(digest.function, action.command_digest.as_ref()).map_err(|problem| {
        ExecuteError::Invalid { field: "action.command_digest".to_owned(), problem: problem.to_string() }
    })?;
    let command = read_message(blobs, &command, "command")?;
    Ok((action, command))
}

/// A message that `field` of a request names, which is also what it is to people. Of one that is not read in full,
/// `M` has the fields that are wanted.
///
/// # Errors
/// One that is not there, is too large, or no such message.
pub fn read_message<M: Message + Default>(
    blobs: &dyn BlobStore,
    digest: &Digest,
    field: &str,
) -> Result<M, ExecuteError> {
    if digest.size_bytes > MAX_ACTION_BYTES {
        let size = digest.size_bytes;
        return Err(ExecuteError::Invalid {
            field: format!("{field}_digest.size_bytes"),
            problem: format!(
                "{size} bytes are too many, {MAX_ACTION_BYTES} is the most; put arguments into a file"
            ),
        });
    }
    let bytes = blobs.read(digest).map_err(|error| match error {
        StoreError::NotFound(digest) => {
            ExecuteError::MissingInputs(vec![MissingInput { digest, role: format!("the {field}") }])
        }
        error => error.into(),
    })?;
    M::decode(bytes).map_err(|error| {
        let text = error.to_string();
        let problem = text.strip_prefix(DECODE_ERROR_PREFIX).unwrap_or(&text);
        ExecuteError::invalid(field, format!("is not a well-formed message: {problem}"))
    })
}
