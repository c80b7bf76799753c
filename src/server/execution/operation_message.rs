//! Operations as messages. Knows nothing of who gets them.

use prost::Message;

use super::log_stream::stream_name;
use crate::execute::OutputStream;
use crate::queue::{Progress, Snapshot, Stage};
use crate::reapi::execution_stage::Value as WireStage;
use crate::reapi::longrunning::{Operation, operation};
use crate::reapi::protobuf::Any;
use crate::reapi::{
    ActionResult, ExecuteOperationMetadata, ExecutedActionMetadata, RequestMetadata, timestamp,
};
use crate::status::execute_response;

/// Whom a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Who asked for the action, and needs to be told no more than how it goes.
    Requester,
    /// Who looks at operations, and wants to know whose they are.
    Onlooker,
}

/// An operation as it is. `result` takes the place of the one in the snapshot, if there is one.
pub(crate) fn operation(snapshot: &Snapshot, audience: Audience, result: Option<ActionResult>) -> Operation {
    let metadata = ExecuteOperationMetadata {
        stage: wire_stage(snapshot.progress.stage) as i32,
        action_digest: Some(snapshot.identity.action_digest.to_message()),
        digest_function: snapshot.identity.action_digest.function.to_wire(),
        stdout_stream_name: stream(snapshot, OutputStream::Stdout),
        stderr_stream_name: stream(snapshot, OutputStream::Stderr),
        partial_execution_metadata: partial_metadata(snapshot, audience),
    };
    let response = snapshot.outcome.as_ref().map(|outcome| execute_response(outcome, result));
    Operation {
        name: snapshot.identity.name.to_string(),
        metadata: Some(packed("ExecuteOperationMetadata", &metadata)),
        done: response.is_some(),
        result: response.map(|response| operation::Result::Response(packed("ExecuteResponse", &response))),
    }
}

fn wire_stage(stage: Stage) -> WireStage {
    match stage {
        Stage::CacheCheck => WireStage::CacheCheck,
        Stage::Queued => WireStage::Queued,
        Stage::Executing => WireStage::Executing,
        Stage::Completed => WireStage::Completed,
    }
}

fn stream(snapshot: &Snapshot, stream: OutputStream) -> String {
    let id = snapshot.progress.output;
    id.map(|id| stream_name(&snapshot.identity.name.instance_name, id, stream)).unwrap_or_default()
}

/// Of an operation that has completed, the result says it better.
fn partial_metadata(snapshot: &Snapshot, audience: Audience) -> Option<ExecutedActionMetadata> {
    let of_onlooker = (audience == Audience::Onlooker).then_some(&snapshot.identity.request_metadata);
    let request_metadata = of_onlooker.and_then(Option::as_deref);
    let progress = &snapshot.progress;
    if request_metadata.is_none() && (progress.queued_at.is_none() || progress.stage == Stage::Completed) {
        return None;
    }
    let auxiliary_metadata =
        request_metadata.map(|metadata: &RequestMetadata| packed("RequestMetadata", metadata));
    Some(ExecutedActionMetadata {
        auxiliary_metadata: auxiliary_metadata.into_iter().collect(),
        ..timestamps(progress)
    })
}

fn timestamps(progress: &Progress) -> ExecutedActionMetadata {
    let worker = progress.worker.as_ref();
    let mut metadata = ExecutedActionMetadata {
        worker: worker.map(|(name, _)| name.as_ref().to_owned()).unwrap_or_default(),
        queued_timestamp: progress.queued_at.map(timestamp),
        worker_start_timestamp: worker.map(|(_, since)| timestamp(*since)),
        ..ExecutedActionMetadata::default()
    };
    progress.stages.write_to(&mut metadata);
    metadata
}

fn packed(message_name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/build.bazel.remote.execution.v2.{message_name}"),
        value: message.encode_to_vec(),
    }
}
