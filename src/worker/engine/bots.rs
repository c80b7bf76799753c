//! What is said to BuildGrid (`google.devtools.remoteworkers.v1test2.Bots`). Knows nothing of what a slot makes of the
//! answers.
//!
//! Observed: a bot without leases is answered when there is one, or at four fifths of the call's deadline; one with a
//! lease is answered at once. Leases come ACTIVE. A lease that is not in the answer is not wanted any more. `version` is
//! echoed. A session that the server does not know has expired, or another one with the same bot took its place: what it
//! had is given to others.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prost::Message;
use tonic::metadata::{BinaryMetadataKey, MetadataMap, MetadataValue};
use tonic::{Code, Request, Response, Status};

use super::assignment::{Assignment, Completion, WantedAction};
use super::schedulers::Schedulers;
use super::source::{Order, Report, SourceError, WorkSource};
use crate::digest::{Digest, DigestFunction};
use crate::execute::{Stage, StageStarts};
use crate::reapi::protobuf::Any;
use crate::reapi::{self, Action, ExecuteOperationMetadata, ExecutedActionMetadata, moment, timestamp};
use crate::remote::LARGEST_MESSAGE;
use crate::worker_protocols::bots::bots_client::BotsClient;
use crate::worker_protocols::bots::device::Property;
use crate::worker_protocols::bots::{
    BotSession, BotStatus, CreateBotSessionRequest, Device, Lease, LeaseState, UpdateBotSessionRequest,
    Worker,
};

/// How long a call may take that waits for work: the server lets it wait for most of that, but no longer than for its
/// own keepalive, and gives no work to who does not wait.
const LONG_POLL: Duration = Duration::from_secs(60);
/// How long the first call of a session may take: as short as the server gives work at all, so that it is known soon
/// whether there is anybody.
const HELLO: Duration = Duration::from_secs(5);
/// How long other calls may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// Where the server says which action a lease is for.
const OPERATION_METADATA: &str = "executeoperationmetadata-bin";

/// What a slot is to BuildGrid.
#[derive(Debug, Clone)]
pub struct BotIdentity {
    /// Names the slot.
    pub bot_id: String,
    /// REAPI `instance_name`.
    pub instance_name: String,
    pub properties: Vec<(String, String)>,
}

/// One slot of a worker of BuildGrid.
#[derive(Debug)]
pub struct Bots {
    schedulers: Arc<Schedulers>,
    identity: BotIdentity,
    session: Option<Session>,
    /// When the lease it has came to which stage.
    progress: Progress,
}

#[derive(Debug)]
struct Session {
    name: String,
    version: String,
}

#[derive(Debug, Default)]
struct Progress {
    lease: String,
    stage: Option<Stage>,
    starts: StageStarts,
}

impl Bots {
    /// A slot without a session.
    pub fn new(schedulers: Arc<Schedulers>, identity: BotIdentity) -> Self {
        Self { schedulers, identity, session: None, progress: Progress::default() }
    }

    fn worker(&self) -> Worker {
        let property = |(key, value): &(String, String)| Property { key: key.clone(), value: value.clone() };
        let properties = self.identity.properties.iter().map(property).collect();
        Worker {
            devices: vec![Device { handle: self.identity.bot_id.clone(), properties }],
            ..Worker::default()
        }
    }

    /// One call; the session begins with it if there is none.
    async fn call(
        &mut self,
        status: BotStatus,
        lease: Option<Lease>,
        deadline: Duration,
    ) -> Result<(BotSession, Option<ExecuteOperationMetadata>), SourceError> {
        let scheduler = self.schedulers.current();
        let mut client =
            BotsClient::new(scheduler.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE);
        let mut bot_session = BotSession {
            bot_id: self.identity.bot_id.clone(),
            status: status as i32,
            worker: Some(self.worker()),
            leases: lease.into_iter().collect(),
            ..BotSession::default()
        };
        let answer = match &self.session {
            None => {
                let parent = self.identity.instance_name.clone();
                let mut request =
                    Request::new(CreateBotSessionRequest { parent, bot_session: Some(bot_session) });
                request.set_timeout(deadline);
                client.create_bot_session(request).await
            }
            Some(Session { name, version }) => {
                bot_session.name.clone_from(name);
                bot_session.version.clone_from(version);
                let mut request = Request::new(UpdateBotSessionRequest {
                    name: name.clone(),
                    bot_session: Some(bot_session),
                });
                request.set_timeout(deadline);
                self.progress.attach(&self.identity.bot_id, request.metadata_mut());
                client.update_bot_session(request).await
            }
        };
        match answer {
            Ok(answer) => Ok(self.take(answer)),
            Err(status) if self.session.is_some() && is_gone(&status) => {
                self.session = None;
                Err(SourceError::Forgotten(format!("the session has ended: {}", status.message())))
            }
            Err(status) => Err(self.schedulers.lost(&scheduler, &status)),
        }
    }

    fn take(&mut self, answer: Response<BotSession>) -> (BotSession, Option<ExecuteOperationMetadata>) {
        let metadata = operation_metadata(answer.metadata());
        let session = answer.into_inner();
        self.session = Some(Session { name: session.name.clone(), version: session.version.clone() });
        (session, metadata)
    }

    fn assignment(&self, lease: &Lease, metadata: Option<ExecuteOperationMetadata>) -> Assignment {
        let partial = metadata.as_ref().and_then(|metadata| metadata.partial_execution_metadata.as_ref());
        let queued_at = partial.and_then(|partial| partial.queued_timestamp).and_then(moment);
        Assignment {
            id: lease.id.clone(),
            instance_name: self.identity.instance_name.clone(),
            wanted: wanted(lease.payload.as_ref(), metadata.as_ref()),
            queued_at: queued_at.unwrap_or_else(SystemTime::now),
            auxiliary_metadata: Vec::new(),
            request_metadata: None,
        }
    }
}

impl WorkSource for Bots {
    async fn exchange(&mut self, report: &Report) -> Result<Order, SourceError> {
        let (status, lease, deadline) = match report {
            // That a lease is not wanted any more is known already, and sessions last for a while.
            Report::Quiet | Report::Stopped { .. } => return Ok(Order::Nothing),
            Report::Away { .. } if self.session.is_none() => return Ok(Order::Nothing),
            Report::Away { for_good: true } => (BotStatus::BotTerminating, None, DEADLINE),
            Report::Away { for_good: false } => (BotStatus::Unhealthy, None, DEADLINE),
            Report::Free if self.session.is_none() => (BotStatus::Ok, None, HELLO),
            Report::Free => (BotStatus::Ok, None, LONG_POLL),
            Report::Busy { assignment, stage } => {
                self.progress.note(&assignment.id, *stage);
                (BotStatus::Ok, Some(lease(&assignment.id, LeaseState::Active)), DEADLINE)
            }
            Report::Ended { assignment, completion, last } => {
                // Whoever is well may be given the next job in the moment between this call and the next, which is fast, but
                // would go on for ever with a worker that wants to leave.
                let status = if *last { BotStatus::Unhealthy } else { BotStatus::Ok };
                (status, Some(ended(&assignment.id, completion)), DEADLINE)
            }
        };
        let (session, metadata) = self.call(status, lease, deadline).await?;
        let is_open = |lease: &&Lease| {
            matches!(lease.state(), LeaseState::Active | LeaseState::Pending | LeaseState::Unspecified)
        };
        let given = session.leases.iter().find(is_open);
        let current = match report {
            Report::Busy { assignment, .. } | Report::Ended { assignment, .. } => Some(&*assignment.id),
            _ => None,
        };
        match (report, given) {
            (Report::Busy { .. }, Some(lease)) if current == Some(&*lease.id) => Ok(Order::Nothing),
            (Report::Busy { .. }, None) => Ok(Order::Stop),
            // The versions differed, and the server has not taken what was said. It is said again.
            (Report::Ended { .. }, Some(lease)) if current == Some(&*lease.id) => {
                Err(SourceError::Lost("the server has not taken the result yet".to_owned()))
            }
            (_, Some(lease)) => Ok(Order::Run(Box::new(self.assignment(lease, metadata)))),
            (_, None) => Ok(Order::Nothing),
        }
    }
}

fn lease(id: &str, state: LeaseState) -> Lease {
    Lease { id: id.to_owned(), state: state as i32, ..Lease::default() }
}

fn ended(id: &str, completion: &Completion) -> Lease {
    let result = completion.response.result.as_ref().map(|result| Any {
        type_url: "type.googleapis.com/build.bazel.remote.execution.v2.ActionResult".to_owned(),
        value: result.encode_to_vec(),
    });
    // Without one, a result of nothing: the status says it.
    let result = result.or_else(|| {
        Some(Any {
            type_url: "type.googleapis.com/build.bazel.remote.execution.v2.ActionResult".to_owned(),
            value: Vec::new(),
        })
    });
    Lease { status: completion.response.status.clone(), result, ..lease(id, LeaseState::Completed) }
}

/// Whether the server does not know the session any more.
fn is_gone(status: &Status) -> bool {
    matches!(status.code(), Code::InvalidArgument | Code::NotFound | Code::FailedPrecondition)
}

/// The action of a lease: the message, of whose bytes the digest is made if the server does not say it, or the digest.
fn wanted(
    payload: Option<&Any>,
    metadata: Option<&ExecuteOperationMetadata>,
) -> Result<WantedAction, Status> {
    let unknown =
        |what: String| Status::invalid_argument(format!("this worker cannot run the action: {what}"));
    let payload = payload.ok_or_else(|| unknown("the lease has no payload".to_owned()))?;
    let function = metadata
        .map_or(Ok(DigestFunction::Sha256), |metadata| DigestFunction::from_wire(metadata.digest_function));
    let function = function.map_err(|problem| unknown(problem.to_string()))?;
    let told =
        metadata.and_then(|metadata| Digest::from_field(function, metadata.action_digest.as_ref()).ok());
    let (_, name) = payload.type_url.rsplit_once('/').unwrap_or(("", &payload.type_url));
    match name {
        "build.bazel.remote.execution.v2.Action" => {
            let action = Action::decode(&*payload.value).map_err(|error| unknown(error.to_string()))?;
            let digest = told.unwrap_or_else(|| function.digest(&payload.value));
            Ok(WantedAction { digest, message: Some(action) })
        }
        "build.bazel.remote.execution.v2.Digest" => {
            let digest =
                reapi::Digest::decode(&*payload.value).map_err(|error| unknown(error.to_string()))?;
            let digest =
                Digest::from_message(function, &digest).map_err(|problem| unknown(problem.to_string()))?;
            Ok(WantedAction { digest, message: None })
        }
        other => Err(unknown(format!("the lease is for a `{other}`"))),
    }
}

fn operation_metadata(trailers: &MetadataMap) -> Option<ExecuteOperationMetadata> {
    let bytes = trailers.get_bin(OPERATION_METADATA)?.to_bytes().ok()?;
    ExecuteOperationMetadata::decode(bytes).ok()
}

impl Progress {
    fn note(&mut self, lease: &str, stage: Option<Stage>) {
        if self.lease != lease {
            *self = Self { lease: lease.to_owned(), ..Self::default() };
        }
        if let Some(stage) = stage.filter(|stage| self.stage != Some(*stage)) {
            self.starts.set(stage, SystemTime::now());
            self.stage = Some(stage);
        }
    }

    /// What is known of the lease's action so far, in a header that names the lease without its instance.
    fn attach(&self, worker: &str, headers: &mut MetadataMap) {
        let Some((_, lease)) = self.lease.rsplit_once('/').filter(|(_, lease)| !lease.is_empty()) else {
            return;
        };
        let name = format!("partial-execution-metadata-{lease}-bin").to_ascii_lowercase();
        let Ok(name) = BinaryMetadataKey::from_bytes(name.as_bytes()) else { return };
        let mut metadata = ExecutedActionMetadata { worker: worker.to_owned(), ..Default::default() };
        self.starts.write_to(&mut metadata);
        metadata.worker_start_timestamp =
            metadata.input_fetch_start_timestamp.or_else(|| Some(timestamp(SystemTime::now())));
        headers.insert_bin(name, MetadataValue::from_bytes(&metadata.encode_to_vec()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(name: &str, value: Vec<u8>) -> Any {
        Any { type_url: format!("type.googleapis.com/build.bazel.remote.execution.v2.{name}"), value }
    }

    #[test]
    fn a_lease_is_for_an_action_or_for_its_digest() {
        let action = Action { do_not_cache: true, ..Action::default() };
        let digest = DigestFunction::Sha256.digest(&action.encode_to_vec());
        let of_action = wanted(Some(&payload("Action", action.encode_to_vec())), None).unwrap();
        assert_eq!((of_action.digest, of_action.message), (digest, Some(action)));
        let of_digest = payload("Digest", digest.to_message().encode_to_vec());
        assert_eq!(wanted(Some(&of_digest), None).unwrap().digest, digest);
        for refused in [
            None,
            Some(payload("Command", vec![])),
            Some(payload("Action", vec![1])),
            Some(payload("Digest", vec![])),
        ] {
            assert_eq!(wanted(refused.as_ref(), None).unwrap_err().code(), Code::InvalidArgument);
        }
    }

    #[test]
    fn what_the_server_says_of_an_action_counts() {
        let digest = DigestFunction::Blake3.digest(b"told");
        let metadata = ExecuteOperationMetadata {
            action_digest: Some(digest.to_message()),
            digest_function: digest.function.to_wire(),
            ..Default::default()
        };
        assert_eq!(wanted(Some(&payload("Action", vec![])), Some(&metadata)).unwrap().digest, digest);
    }

    #[test]
    fn progress_is_told_of_one_lease_without_its_instance() {
        let mut progress = Progress::default();
        let mut headers = MetadataMap::new();
        progress.attach("w", &mut headers);
        assert!(headers.is_empty());
        progress.note("main/12-ab", Some(Stage::Running));
        progress.attach("w", &mut headers);
        assert!(headers.get_bin("partial-execution-metadata-12-ab-bin").is_some());
        progress.note("/34", None);
        assert_eq!(progress.stage, None);
        progress.note("/with space", None);
        let mut none = MetadataMap::new();
        progress.attach("w", &mut none);
        assert!(none.is_empty());
    }
}
