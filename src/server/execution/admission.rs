//! From the digest of an action to what the queue needs to know about it. Knows nothing of when and where it runs.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tonic::Status;

use crate::cas::BlobStore;
use crate::digest::{Digest, DigestFunction};
use crate::execute::{action_timeout, read_message};
use crate::queue::{Requirements, Submission};
use crate::reapi::{Action, Command, ExecuteRequest, Platform, RequestMetadata};
use crate::status;

/// Most bytes of the name of an instance: operations, results and streams all carry it.
const MAX_INSTANCE_BYTES: usize = 1 << 10;

/// Most bytes of the names and values of a platform, which are compared with each pool's, and told to who is refused.
const MAX_PLATFORM_BYTES: usize = 16 << 10;

/// How many actions are read at a time, each of which may take as much memory as the largest.
const READ_AT_ONCE: usize = 16;

/// Reads actions, a few at a time.
#[derive(Clone)]
pub(super) struct Admission {
    blobs: Arc<dyn BlobStore>,
    places: Arc<Semaphore>,
}

/// What a request asks for, read and checked.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) instance_name: String,
    pub(super) action_digest: Digest,
    priority: i32,
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) client: Arc<str>,
    pub(super) request_metadata: Option<RequestMetadata>,
}

/// A `Command`, of which no more is read than what decides where it can run: the rest may be much larger in memory than
/// it is in the store.
#[derive(Clone, PartialEq, prost::Message)]
struct CommandPlatform {
    #[prost(message, optional, tag = "5")]
    platform: Option<Platform>,
}

impl Asked {
    /// # Errors
    /// INVALID_ARGUMENT, naming the field.
    pub(super) fn read(request: &ExecuteRequest) -> Result<Self, Status> {
        if request.instance_name.len() > MAX_INSTANCE_BYTES {
            let problem = format!("is longer than {MAX_INSTANCE_BYTES} bytes");
            return Err(status::invalid("instance_name", problem));
        }
        let function = DigestFunction::from_wire(request.digest_function)
            .map_err(|problem| status::invalid("digest_function", problem.to_string()))?;
        let action_digest = Digest::from_field(function, request.action_digest.as_ref())
            .map_err(|problem| status::invalid_digest("action_digest", &problem))?;
        let priority = request.execution_policy.as_ref().map_or(0, |policy| policy.priority);
        Ok(Self { instance_name: request.instance_name.clone(), action_digest, priority })
    }
}

impl Admission {
    /// Actions are in `blobs`.
    pub(super) fn new(blobs: Arc<dyn BlobStore>) -> Self {
        Self { blobs, places: Arc::new(Semaphore::new(READ_AT_ONCE)) }
    }

    /// Reads the action, and of its command what the queue needs to know.
    ///
    /// # Errors
    /// FAILED_PRECONDITION for what is not in the store; INVALID_ARGUMENT, naming the field, for what is not what
    /// it must be.
    pub(super) async fn read(&self, asked: Asked, asker: Asker) -> Result<Submission, Status> {
        let blobs = Arc::clone(&self.blobs);
        // Never closed.
        let place = Arc::clone(&self.places).acquire_owned().await;
        tokio::task::spawn_blocking(move || {
            let _place = place;
            read_blocking(&*blobs, asked, asker)
        })
        .await
        .map_err(|error| {
            tracing::error!(%error, "reading an action failed");
            Status::internal("cannot read the action; the log of the server says why")
        })?
    }
}

fn read_blocking(blobs: &dyn BlobStore, asked: Asked, asker: Asker) -> Result<Submission, Status> {
    let action: Action =
        read_message(blobs, &asked.action_digest, "action").map_err(|error| Status::from(&error))?;
    let digest = |field: &str, digest: Option<&crate::reapi::Digest>| {
        Digest::from_field(asked.action_digest.function, digest)
            .map_err(|problem| status::invalid_digest(field, &problem))
    };
    digest("action.input_root_digest", action.input_root_digest.as_ref())?;
    let command_digest = digest("action.command_digest", action.command_digest.as_ref())?;
    let command: CommandPlatform =
        read_message(blobs, &command_digest, "command").map_err(|error| Status::from(&error))?;
    check_platform("action.platform", action.platform.as_ref())?;
    check_platform("command.platform", command.platform.as_ref())?;
    // `Command.platform` is deprecated, and in use.
    #[allow(deprecated)]
    let command = Command { platform: command.platform, ..Command::default() };
    Ok(Submission {
        timeout: action_timeout(&action).map_err(|error| Status::from(&error))?,
        requirements: Requirements::of(&action, &command),
        instance_name: asked.instance_name,
        client: asker.client,
        action_digest: asked.action_digest,
        do_not_cache: action.do_not_cache,
        priority: asked.priority,
        request_metadata: asker.request_metadata.map(Arc::new),
    })
}

fn check_platform(field: &str, platform: Option<&Platform>) -> Result<(), Status> {
    let properties = platform.map(|platform| platform.properties.as_slice()).unwrap_or_default();
    // One without a name and a value is not for nothing.
    let size = |property: &crate::reapi::platform::Property| 16 + property.name.len() + property.value.len();
    let bytes: usize = properties.iter().map(size).sum();
    if bytes > MAX_PLATFORM_BYTES {
        let problem = format!("its names and values are longer than {MAX_PLATFORM_BYTES} bytes in all");
        return Err(status::invalid(field, problem));
    }
    Ok(())
}
