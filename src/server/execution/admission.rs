//! From the digest of an action to what the queue needs to know about it. Knows nothing of when and where it runs.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tonic::Status;

use crate::cas::{BlobStore, StoreError};
use crate::digest::{Digest, DigestFunction};
use crate::execute::{ExecuteError, MissingInput};
use crate::queue::{Requirements, Submission};
use crate::reapi::{Action, Command, ExecuteRequest, RequestMetadata, protobuf};
use crate::server::transport::status;

/// The largest `Action` or `Command` that is read. They are held in memory while the action waits; real ones are a
/// few kilobytes, and clients put long argument lists into files.
const MAX_MESSAGE_BYTES: u64 = 16 << 20;

/// What a request asks for, read and checked.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) instance_name: String,
    pub(super) action_digest: Digest,
    priority: i32,
}

impl Asked {
    /// # Errors
    /// INVALID_ARGUMENT, naming the field.
    pub(super) fn read(request: &ExecuteRequest) -> Result<Self, Status> {
        let function = DigestFunction::from_wire(request.digest_function)
            .map_err(|problem| status::invalid("digest_function", problem.to_string()))?;
        let action_digest = Digest::from_field(function, request.action_digest.as_ref())
            .map_err(|problem| status::invalid_digest("action_digest", &problem))?;
        let priority = request.execution_policy.as_ref().map_or(0, |policy| policy.priority);
        Ok(Self { instance_name: request.instance_name.clone(), action_digest, priority })
    }

    /// Fetches the action and its command.
    ///
    /// # Errors
    /// FAILED_PRECONDITION for what is not in the store; INVALID_ARGUMENT, naming the field, for what is not what
    /// it must be.
    pub(super) async fn fetch(
        self,
        blobs: Arc<dyn BlobStore>,
        request_metadata: Option<RequestMetadata>,
    ) -> Result<Submission, Status> {
        tokio::task::spawn_blocking(move || self.fetch_blocking(&*blobs, request_metadata)).await.map_err(
            |error| {
                tracing::error!(%error, "reading an action failed");
                Status::internal("cannot read the action; the log of the server says why")
            },
        )?
    }

    fn fetch_blocking(
        self,
        blobs: &dyn BlobStore,
        request_metadata: Option<RequestMetadata>,
    ) -> Result<Submission, Status> {
        let action: Action = message(blobs, &self.action_digest, "action", "the action")?;
        let digest = |field: &str, digest: Option<&crate::reapi::Digest>| {
            Digest::from_field(self.action_digest.function, digest)
                .map_err(|problem| status::invalid_digest(field, &problem))
        };
        digest("action.input_root_digest", action.input_root_digest.as_ref())?;
        let command_digest = digest("action.command_digest", action.command_digest.as_ref())?;
        let command: Command = message(blobs, &command_digest, "command", "the command")?;
        Ok(Submission {
            timeout: timeout(action.timeout.as_ref())?,
            requirements: Requirements::of(&action, &command),
            instance_name: self.instance_name,
            action_digest: self.action_digest,
            action,
            command,
            priority: self.priority,
            request_metadata,
        })
    }
}

fn message<M: Message + Default>(
    blobs: &dyn BlobStore,
    digest: &Digest,
    field: &str,
    role: &str,
) -> Result<M, Status> {
    if digest.size_bytes > MAX_MESSAGE_BYTES {
        let size = digest.size_bytes;
        return Err(status::invalid(
            format!("{field}_digest.size_bytes"),
            format!("{size} bytes are too many, {MAX_MESSAGE_BYTES} is the most; put arguments into a file"),
        ));
    }
    let bytes = blobs.read(digest).map_err(|error| match error {
        StoreError::NotFound(digest) => {
            Status::from(&ExecuteError::MissingInputs(vec![MissingInput { digest, role: role.to_owned() }]))
        }
        error => error.into(),
    })?;
    M::decode(bytes).map_err(|error| status::malformed(field, &error))
}

/// No time at all is what clients send that have no timeout to send.
fn timeout(asked: Option<&protobuf::Duration>) -> Result<Option<Duration>, Status> {
    let Some(asked) = asked else { return Ok(None) };
    let seconds = u64::try_from(asked.seconds);
    let nanos = u32::try_from(asked.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    match (seconds, nanos) {
        (Ok(0), Some(0)) => Ok(None),
        (Ok(seconds), Some(nanos)) => Ok(Some(Duration::new(seconds, nanos))),
        _ => Err(status::invalid(
            "action.timeout",
            format!("{} s and {} ns are no time an action can run for", asked.seconds, asked.nanos),
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tonic::Code;

    use super::*;

    #[test]
    fn only_times_that_can_pass_are_timeouts() {
        let read = |seconds, nanos| timeout(Some(&protobuf::Duration { seconds, nanos }));
        assert_eq!(timeout(None).unwrap(), None);
        assert_eq!(read(0, 0).unwrap(), None);
        assert_eq!(read(1, 500_000_000).unwrap(), Some(Duration::from_millis(1500)));
        for (seconds, nanos) in [(-1, 0), (0, -1), (1, -1), (0, 1_000_000_000), (i64::MIN, i32::MIN)] {
            let refusal = read(seconds, nanos).unwrap_err();
            assert_eq!(refusal.code(), Code::InvalidArgument);
            assert!(refusal.message().starts_with("action.timeout"), "{refusal}");
        }
    }

    proptest! {
        #[test]
        fn no_timeout_makes_the_reader_panic(seconds: i64, nanos: i32) {
            let _ = timeout(Some(&protobuf::Duration { seconds, nanos }));
        }
    }
}
