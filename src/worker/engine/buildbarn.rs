//! What is said to a scheduler of Buildbarn (`buildbarn.remoteworker.OperationQueue`). Knows nothing of what a slot makes
//! of the answers.
//!
//! Observed: a report of an action that runs is answered at once; `idle` is answered when there is something to do, or
//! after two minutes; only the answer to a report says that an action is not wanted any more; a scheduler that has
//! started again knows nothing and says `idle` to everything. There is one call at a time for each worker id; after one
//! that was broken off, the next is refused for a moment.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use prost::Message;
use tonic::Status;

use super::assignment::{Assignment, WantedAction};
use super::schedulers::Schedulers;
use super::source::{Order, Report, SourceError, WorkSource};
use crate::digest::{Digest, DigestFunction};
use crate::execute::Stage;
use crate::reapi::platform::Property;
use crate::reapi::protobuf::{Any, Empty};
use crate::reapi::{self, ExecuteResponse, Platform, RequestMetadata, moment};
use crate::remote::LARGEST_MESSAGE;
use crate::worker_protocols::buildbarn::current_state::executing::ExecutionState;
use crate::worker_protocols::buildbarn::current_state::{Executing, WorkerState};
use crate::worker_protocols::buildbarn::operation_queue_client::OperationQueueClient;
use crate::worker_protocols::buildbarn::{
    CurrentState, SynchronizeRequest, SynchronizeResponse, desired_state,
};

/// What a slot is to its scheduler.
#[derive(Debug, Clone)]
pub struct BuildbarnIdentity {
    /// Names the slot.
    pub worker_id: HashMap<String, String>,
    /// Instances whose names begin with this are served.
    pub instance_name_prefix: String,
    /// What actions must ask for, exactly.
    pub properties: Vec<(String, String)>,
    pub size_class: u32,
}

/// One slot of a worker of Buildbarn.
#[derive(Debug)]
pub struct Buildbarn {
    schedulers: Arc<Schedulers>,
    identity: BuildbarnIdentity,
    platform: Platform,
    /// The scheduler has answered before.
    is_known: bool,
    /// The scheduler knows that nothing is to come. It forgets the worker, if it hears no more of it.
    is_away: bool,
}

impl Buildbarn {
    /// A slot that has not been heard of yet.
    pub fn new(schedulers: Arc<Schedulers>, identity: BuildbarnIdentity) -> Self {
        let property =
            |(name, value): &(String, String)| Property { name: name.clone(), value: value.clone() };
        let mut properties: Vec<Property> = identity.properties.iter().map(property).collect();
        // Anything else is refused.
        properties.sort_by(|one, other| (&one.name, &one.value).cmp(&(&other.name, &other.value)));
        Self { schedulers, identity, platform: Platform { properties }, is_known: false, is_away: false }
    }

    async fn synchronize(
        &self,
        state: WorkerState,
        prefer_being_idle: bool,
    ) -> Result<SynchronizeResponse, SourceError> {
        let scheduler = self.schedulers.current();
        let request = SynchronizeRequest {
            worker_id: self.identity.worker_id.clone(),
            instance_name_prefix: self.identity.instance_name_prefix.clone(),
            platform: Some(self.platform.clone()),
            current_state: Some(CurrentState { worker_state: Some(state) }),
            size_class: self.identity.size_class,
            prefer_being_idle,
        };
        let mut client =
            OperationQueueClient::new(scheduler.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE);
        match client.synchronize(request).await {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err(self.schedulers.lost(&scheduler, &status)),
        }
    }

    fn assignment(&self, desired: desired_state::Executing) -> Assignment {
        let desired_state::Executing {
            action_digest,
            action,
            queued_timestamp,
            auxiliary_metadata,
            instance_name_suffix,
            digest_function,
            ..
        } = desired;
        let wanted = DigestFunction::from_wire(digest_function)
            .and_then(|function| Digest::from_field(function, action_digest.as_ref()))
            .map(|digest| WantedAction { digest, message: action })
            .map_err(|problem| {
                Status::invalid_argument(format!("this worker cannot run the action: {problem}"))
            });
        Assignment {
            id: action_digest.as_ref().map(id).unwrap_or_default(),
            instance_name: joined(&self.identity.instance_name_prefix, &instance_name_suffix),
            wanted,
            queued_at: queued_timestamp.and_then(moment).unwrap_or_else(SystemTime::now),
            request_metadata: auxiliary_metadata.iter().find_map(request_metadata),
            auxiliary_metadata,
        }
    }
}

impl WorkSource for Buildbarn {
    async fn exchange(&mut self, report: &Report) -> Result<Order, SourceError> {
        let (state, prefers_idle) = match report {
            // Nothing is expected of a worker that says nothing for a moment.
            Report::Quiet | Report::Stopped { .. } => return Ok(Order::Nothing),
            Report::Away { .. } if self.is_away => return Ok(Order::Nothing),
            Report::Away { .. } => (WorkerState::Idle(Empty {}), true),
            // The first answer comes at once, so that it is known soon whether there is anybody.
            Report::Free => (WorkerState::Idle(Empty {}), !self.is_known),
            Report::Busy { assignment, stage } => {
                let state = match stage {
                    None => ExecutionState::Started(Empty {}),
                    Some(Stage::FetchingInputs) => ExecutionState::FetchingInputs(Empty {}),
                    Some(Stage::Running) => ExecutionState::Running(Empty {}),
                    Some(Stage::UploadingOutputs) => ExecutionState::UploadingOutputs(Empty {}),
                };
                (executing(assignment, state), false)
            }
            Report::Ended { assignment, completion, .. } => {
                let response: ExecuteResponse = completion.response.clone();
                // So that the answer, which is an acknowledgement, comes at once.
                (executing(assignment, ExecutionState::Completed(response)), true)
            }
        };
        self.is_away = false;
        let response = self.synchronize(state, prefers_idle).await?;
        self.is_known = true;
        Ok(match response.desired_state.and_then(|desired| desired.worker_state) {
            Some(desired_state::WorkerState::Executing(desired)) => {
                Order::Run(Box::new(self.assignment(desired)))
            }
            Some(desired_state::WorkerState::Idle(_)) if matches!(report, Report::Busy { .. }) => Order::Stop,
            Some(desired_state::WorkerState::Idle(_)) | None => {
                self.is_away = matches!(report, Report::Away { .. });
                Order::Nothing
            }
        })
    }
}

fn executing(assignment: &Assignment, state: ExecutionState) -> WorkerState {
    let action_digest = digest(&assignment.id);
    WorkerState::Executing(Executing { action_digest, execution_state: Some(state) })
}

/// The digest as it came, also of a function that is not ours.
fn id(digest: &reapi::Digest) -> String {
    format!("{}/{}", digest.hash, digest.size_bytes)
}

fn digest(id: &str) -> Option<reapi::Digest> {
    let (hash, size) = id.rsplit_once('/')?;
    Some(reapi::Digest { hash: hash.to_owned(), size_bytes: size.parse().ok()? })
}

fn joined(prefix: &str, suffix: &str) -> String {
    match (prefix, suffix) {
        ("", name) | (name, "") => name.to_owned(),
        _ => format!("{prefix}/{suffix}"),
    }
}

fn request_metadata(any: &Any) -> Option<RequestMetadata> {
    let is_metadata = any.type_url.ends_with("/build.bazel.remote.execution.v2.RequestMetadata");
    is_metadata.then(|| RequestMetadata::decode(&*any.value).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_come_back_as_they_came() {
        for (hash, size_bytes) in [("ab", 5), ("", 0), ("a/b", -1)] {
            let message = reapi::Digest { hash: hash.into(), size_bytes };
            assert_eq!(digest(&id(&message)), Some(message));
        }
    }

    #[test]
    fn an_instance_is_its_prefix_and_what_follows() {
        assert_eq!(joined("", ""), "");
        assert_eq!(joined("main", ""), "main");
        assert_eq!(joined("", "sub/x"), "sub/x");
        assert_eq!(joined("main", "sub"), "main/sub");
    }
}
