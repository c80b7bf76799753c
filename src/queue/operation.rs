//! What an operation is to those who watch it. Knows nothing of how it gets there.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::error::Refusal;
use super::platform::Requirements;
use crate::digest::Digest;
use crate::execute::{ExecuteError, Executed, StageStarts};
use crate::reapi::{ActionResult, RequestMetadata};

/// An action that a client wants to have executed, read and checked. It is read again when it is run, so that what waits
/// takes no more memory than its name.
#[derive(Debug, Clone)]
pub struct Submission {
    /// REAPI `instance_name`: actions of different instances are never merged.
    pub instance_name: String,
    /// Who asked, as far as the transport knows: clients take turns, and see their own operations only.
    pub client: Arc<str>,
    pub action_digest: Digest,
    /// REAPI `Action.do_not_cache`.
    pub do_not_cache: bool,
    /// What its worker must offer.
    pub requirements: Requirements,
    /// How long it may run; as long as the pool's default if `None`.
    pub timeout: Option<Duration>,
    /// REAPI `ExecutionPolicy.priority`: lower runs earlier.
    pub priority: i32,
    /// Who asked: for logs, and so that the actions of one invocation do not keep out those of others.
    pub request_metadata: Option<Arc<RequestMetadata>>,
}

/// About what an operation takes without what its client says, with its places in all the tables.
const OPERATION_BYTES: usize = 2_560;

impl Submission {
    /// About how much memory it takes while it waits, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        use prost::Message;
        let metadata = self.request_metadata.as_ref().map_or(0, |metadata| metadata.encoded_len());
        // The instance is in the operation, in its task and in the key by which others find that.
        OPERATION_BYTES + metadata + 3 * self.instance_name.len()
    }
}

/// An operation's name, of 122 random bits. Whoever knows it can read and cancel the operation; `ListOperations` tells it
/// only to the client that began it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationName {
    pub instance_name: String,
    pub id: Uuid,
}

impl OperationName {
    /// Reads `INSTANCE/operations/ID`, with or without what comes before the id.
    pub fn parse(text: &str) -> Option<Self> {
        let (parent, id) = text.rsplit_once('/').unwrap_or(("operations", text));
        let instance_name = match parent.strip_suffix("operations")? {
            "" => "",
            instance => instance.strip_suffix('/')?,
        };
        Some(Self { instance_name: instance_name.to_owned(), id: Uuid::try_parse(id).ok()? })
    }
}

impl std::fmt::Display for OperationName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.instance_name.is_empty() {
            write!(formatter, "{}/", self.instance_name)?;
        }
        write!(formatter, "operations/{}", self.id.simple())
    }
}

/// What never changes about an operation.
#[derive(Debug)]
pub struct Identity {
    pub name: OperationName,
    /// Who began it.
    pub client: Arc<str>,
    pub action_digest: Digest,
    pub request_metadata: Option<Arc<RequestMetadata>>,
}

/// An operation at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub identity: Arc<Identity>,
    pub progress: Progress,
    /// How it ended, once it has.
    pub outcome: Option<Arc<Outcome>>,
}

/// How far an action has come. Of merged operations it is the same.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    pub stage: Stage,
    /// When the action was queued.
    pub queued_at: Option<SystemTime>,
    /// The worker that runs it, and since when.
    pub worker: Option<(Arc<str>, SystemTime)>,
    /// Its pool; while the action is queued, the one that would have it first.
    pub pool: Option<Arc<str>>,
    /// When which part of its execution began.
    pub stages: StageStarts,
    /// Names its output while it runs, and for a while afterwards. Unguessable.
    pub output: Option<Uuid>,
}

/// Where an operation is (REAPI `ExecutionStage`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    #[default]
    CacheCheck,
    Queued,
    /// Which part it is at is not told to those who wait, so that they are not woken for it.
    Executing,
    Completed,
}

/// How an operation ended.
#[derive(Debug)]
pub enum Outcome {
    /// Its result was in the action cache.
    Cached(ActionResult),
    /// It ran, to its end or into its timeout.
    Executed(Executed),
    /// It could not be run.
    Failed(ExecuteError),
    /// There was no place in the queue.
    Refused(Refusal),
    /// Somebody, or nobody, wanted its end.
    Cancelled(CancelReason),
    /// The worker broke off, which is a fault of ours. In words.
    WorkerFailed(String),
}

/// Why an operation was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CancelReason {
    #[error("the operation was cancelled by a client")]
    Client,
    #[error("the operation was cancelled because nobody had waited for it for {}", humantime::format_duration(*.0))]
    Abandoned(Duration),
    #[error("the operation was cancelled because nobody waited for it and the queue was full")]
    MadeRoom,
    #[error("the operation was cancelled because the server is stopping")]
    Closing,
}

impl Outcome {
    /// What the action left, if it ran.
    pub fn result(&self) -> Option<&ActionResult> {
        match self {
            Self::Cached(result) => Some(result),
            Self::Executed(executed) => Some(&executed.result),
            Self::Failed(_) | Self::Refused(_) | Self::Cancelled(_) | Self::WorkerFailed(_) => None,
        }
    }

    /// About how much memory it takes, in bytes.
    pub(super) fn size_bytes(&self) -> usize {
        use prost::Message;
        match self {
            Self::Cached(result) => result.encoded_len(),
            Self::Executed(executed) => executed.result.encoded_len() + executed.message.len(),
            Self::Failed(ExecuteError::MissingInputs(missing)) => {
                missing.iter().map(|input| size_of_val(input) + input.role.len()).sum()
            }
            Self::Failed(_) | Self::Refused(_) | Self::Cancelled(_) | Self::WorkerFailed(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_with_and_without_their_instance() {
        let id = Uuid::new_v4();
        for instance_name in ["", "main", "a/b"] {
            let name = OperationName { instance_name: instance_name.to_owned(), id };
            assert_eq!(OperationName::parse(&name.to_string()), Some(name));
        }
        let bare = OperationName { instance_name: String::new(), id };
        assert_eq!(OperationName::parse(&id.to_string()), Some(bare.clone()));
        assert_eq!(OperationName::parse(&format!("operations/{}", id.simple())), Some(bare));
        for other in ["", "operations/", "x", "main/operations", "xoperations/00"] {
            assert_eq!(OperationName::parse(other), None, "{other}");
        }
        assert_eq!(OperationName::parse(&format!("main/blobs/{id}")), None);
        assert_eq!(OperationName::parse(&format!("mainoperations/{id}")), None);
    }

    proptest! {
        #[test]
        fn no_name_makes_the_parser_panic(text: String) {
            let _ = OperationName::parse(&text);
        }
    }
}
