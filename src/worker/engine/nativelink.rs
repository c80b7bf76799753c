//! What is said to a scheduler of NativeLink (`WorkerApi.ConnectWorker`). Knows nothing of what a slot makes of the
//! answers.
//!
//! Observed: one stream per worker, on which a sign of life is expected every few seconds. Nothing is acknowledged. When
//! the stream ends, what the worker had is given to others at once. A response without digests of both outputs and all
//! timestamps is dropped without a word. What failed here and may work elsewhere is an `internal_error`; details of a
//! status are lost.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::assignment::{Assignment, Completion, WantedAction};
use super::deliverable::deliverable;
use super::schedulers::Schedulers;
use super::source::{Order, Report, SourceError, WorkSource};
use crate::digest::{Digest, DigestFunction};
use crate::execute::ResourceUsage;
use crate::reapi::platform::Property;
use crate::reapi::{ActionResult, ExecuteResponse, moment, rpc, timestamp};
use crate::remote::LARGEST_MESSAGE;
use crate::worker_protocols::nativelink::execute_result::Result as Executed;
use crate::worker_protocols::nativelink::update_for_scheduler::Update as ForScheduler;
use crate::worker_protocols::nativelink::update_for_worker::Update as ForWorker;
use crate::worker_protocols::nativelink::worker_api_client::WorkerApiClient;
use crate::worker_protocols::nativelink::{
    ActionResourceUsage, ConnectWorkerRequest, ExecuteComplete, ExecuteResult, GoingAwayRequest,
    KeepAliveRequest, StartExecute, UpdateForScheduler, UpdateForWorker,
};

/// How often the scheduler is given a sign of life; after five seconds it takes a worker for dead.
const KEEPALIVE: Duration = Duration::from_secs(2);
/// What may wait to be sent.
const UNSENT: usize = 256;
/// How much is listened to in one go.
const HEARD_AT_ONCE: usize = 64;
/// How long the scheduler may take to greet.
const GREETING: Duration = Duration::from_secs(10);
/// How long the scheduler may leave a result where it is before the connection is taken to be dead.
const DELIVERY: Duration = Duration::from_secs(30);
/// How long a scheduler that was told that we go may take to let us.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a slot is to NativeLink.
#[derive(Debug, Clone)]
pub struct NativeLinkIdentity {
    /// Names the slot; the scheduler appends something.
    pub worker_id_prefix: String,
    pub properties: Vec<(String, String)>,
}

/// One slot of a worker of NativeLink.
#[derive(Debug)]
pub struct NativeLink {
    schedulers: Arc<Schedulers>,
    identity: NativeLinkIdentity,
    link: Option<Link>,
}

#[derive(Debug)]
struct Link {
    to: mpsc::Sender<UpdateForScheduler>,
    from: Streaming<UpdateForWorker>,
    /// When it was last said that this worker lives. Nothing else that is said counts as that.
    kept_alive_at: Instant,
}

/// What the scheduler said.
enum Heard {
    Start(Box<StartExecute>),
    Kill(String),
    Other,
}

impl NativeLink {
    /// A slot that is not connected.
    pub fn new(schedulers: Arc<Schedulers>, identity: NativeLinkIdentity) -> Self {
        Self { schedulers, identity, link: None }
    }

    async fn connect(&self) -> Result<Link, SourceError> {
        let scheduler = self.schedulers.current();
        let (to, requests) = mpsc::channel(UNSENT);
        let property =
            |(name, value): &(String, String)| Property { name: name.clone(), value: value.clone() };
        let hello = ConnectWorkerRequest {
            properties: self.identity.properties.iter().map(property).collect(),
            worker_id_prefix: self.identity.worker_id_prefix.clone(),
            max_inflight_tasks: 1,
        };
        // There is room.
        let _ = to.send(update(ForScheduler::ConnectWorkerRequest(hello))).await;
        let mut client =
            WorkerApiClient::new(scheduler.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE);
        let greeted = async {
            let mut from = client.connect_worker(ReceiverStream::new(requests)).await?.into_inner();
            match from.message().await? {
                Some(UpdateForWorker { update: Some(ForWorker::ConnectionResult(_)) }) => Ok(from),
                _ => Err(Status::unavailable("did not greet this worker")),
            }
        };
        match tokio::time::timeout(GREETING, greeted).await {
            Ok(Ok(from)) => Ok(Link { to, from, kept_alive_at: Instant::now() }),
            Ok(Err(status)) => Err(self.schedulers.lost(&scheduler, &status)),
            Err(_) => {
                let status = Status::unavailable(format!("nothing for {} s", GREETING.as_secs()));
                Err(self.schedulers.lost(&scheduler, &status))
            }
        }
    }

    /// Waits for work.
    async fn wait(&mut self) -> Result<Order, SourceError> {
        if self.link.is_none() {
            self.link = Some(self.connect().await?);
            // So that it is known that there is somebody.
            return Ok(Order::Nothing);
        }
        loop {
            match self.hear(true).await? {
                Some(Heard::Start(start)) => return Ok(Order::Run(Box::new(assignment(*start)))),
                // What was to be killed has ended.
                Some(Heard::Kill(_) | Heard::Other) | None => {}
            }
        }
    }

    /// What was said; nothing if there was nothing for the time between two signs of life, or, if `waits` is not set, until
    /// now.
    async fn hear(&mut self, waits: bool) -> Result<Option<Heard>, SourceError> {
        let Some(link) = &self.link else { return Err(ended()) };
        if link.kept_alive_at.elapsed() >= KEEPALIVE {
            self.say(ForScheduler::KeepAliveRequest(KeepAliveRequest {}))?;
        }
        let Some(link) = &mut self.link else { return Err(ended()) };
        let message = if waits {
            let silence = KEEPALIVE.saturating_sub(link.kept_alive_at.elapsed());
            match tokio::time::timeout(silence, link.from.message()).await {
                Ok(message) => message,
                Err(_) => return Ok(None),
            }
        } else {
            match link.from.message().now_or_never() {
                Some(message) => message,
                None => return Ok(None),
            }
        };
        let gone = match message {
            Ok(Some(UpdateForWorker { update })) => match update {
                Some(ForWorker::StartAction(start)) => return Ok(Some(Heard::Start(Box::new(start)))),
                Some(ForWorker::KillOperationRequest(kill)) => {
                    return Ok(Some(Heard::Kill(kill.operation_id)));
                }
                Some(ForWorker::Disconnect(_)) => "the scheduler has let this worker go".to_owned(),
                _ => return Ok(Some(Heard::Other)),
            },
            Ok(None) => "the scheduler has ended the connection".to_owned(),
            Err(status) => format!("the connection to the scheduler has broken: {}", status.message()),
        };
        self.link = None;
        Err(SourceError::Forgotten(gone))
    }

    /// All that was said until now, while `current` runs, or nothing does and nothing is to.
    async fn hear_all(&mut self, current: Option<&str>) -> Result<Order, SourceError> {
        let mut order = Order::Nothing;
        for _ in 0..HEARD_AT_ONCE {
            let Some(heard) = self.hear(false).await? else { break };
            match heard {
                Heard::Start(start) => self.refuse(&start)?,
                Heard::Kill(id) if current == Some(&*id) => order = Order::Stop,
                Heard::Kill(_) | Heard::Other => {}
            }
        }
        Ok(order)
    }

    /// An action for which there is no place.
    fn refuse(&mut self, start: &StartExecute) -> Result<(), SourceError> {
        let full = rpc::Status {
            code: Code::ResourceExhausted as i32,
            message: "this worker takes no action now".to_owned(),
            details: Vec::new(),
        };
        let instance_name = start.execute_request.as_ref().map(|request| request.instance_name.clone());
        let result = ExecuteResult {
            instance_name: instance_name.unwrap_or_default(),
            operation_id: start.operation_id.clone(),
            result: Some(Executed::InternalError(full)),
            resource_usage: None,
        };
        self.say(ForScheduler::ExecuteResult(result))
    }

    /// Says something small. A scheduler that has left so much unread that there is no room is as good as gone, and what
    /// it had is to be given to others: what is not said here would be missed for ever.
    fn say(&mut self, what: ForScheduler) -> Result<(), SourceError> {
        let Some(link) = &mut self.link else { return Err(ended()) };
        let keeps_alive = matches!(what, ForScheduler::KeepAliveRequest(_));
        if link.to.try_send(update(what)).is_err() {
            self.link = None;
            return Err(ended());
        }
        if keeps_alive {
            link.kept_alive_at = Instant::now();
        }
        Ok(())
    }

    async fn tell(
        &mut self,
        assignment: &Assignment,
        result: Executed,
        usage: Option<ResourceUsage>,
    ) -> Result<(), SourceError> {
        let Some(link) = &mut self.link else { return Err(ended()) };
        let operation_id = assignment.id.clone();
        let usage = usage.map(|usage| ActionResourceUsage {
            peak_memory_kb: usage.peak_memory_bytes >> 10,
            operation_id: operation_id.clone(),
            ..ActionResourceUsage::default()
        });
        let complete = ExecuteComplete { operation_id: operation_id.clone() };
        let result = ExecuteResult {
            instance_name: assignment.instance_name.clone(),
            operation_id,
            result: Some(result),
            resource_usage: usage,
        };
        let updates = [ForScheduler::ExecuteComplete(complete), ForScheduler::ExecuteResult(result)];
        for one in updates {
            if link.to.send_timeout(update(one), DELIVERY).await.is_err() {
                self.link = None;
                return Err(ended());
            }
        }
        Ok(())
    }

    /// Leaves, and waits for a moment to be let go.
    async fn leave(&mut self) {
        if self.say(ForScheduler::GoingAwayRequest(GoingAwayRequest {})).is_err() {
            return;
        }
        let left = async {
            loop {
                // What comes now is given to others by itself. A refusal would be one of the few attempts that an action
                // has.
                if self.hear(true).await.is_err() {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(FAREWELL, left).await;
        self.link = None;
    }
}

impl WorkSource for NativeLink {
    async fn exchange(&mut self, report: &Report) -> Result<Order, SourceError> {
        match report {
            Report::Free => self.wait().await,
            Report::Away { .. } => {
                self.leave().await;
                Ok(Order::Nothing)
            }
            Report::Quiet if self.link.is_none() => Ok(Order::Nothing),
            Report::Quiet => self.hear_all(None).await,
            Report::Busy { assignment, .. } => self.hear_all(Some(&assignment.id)).await,
            Report::Ended { assignment, completion, .. } => {
                let (result, usage) = result(completion);
                self.tell(assignment, result, usage).await?;
                Ok(Order::Nothing)
            }
            Report::Stopped { assignment } => {
                // Whoever is not told takes this worker for dead.
                let killed = rpc::Status {
                    code: Code::Aborted as i32,
                    message: "the scheduler wanted the action's end".to_owned(),
                    details: Vec::new(),
                };
                let response = ExecuteResponse { status: Some(killed), ..ExecuteResponse::default() };
                self.tell(assignment, Executed::ExecuteResponse(complete(response)), None).await?;
                Ok(Order::Nothing)
            }
        }
    }
}

fn ended() -> SourceError {
    SourceError::Forgotten("the connection to the scheduler has ended".to_owned())
}

fn update(update: ForScheduler) -> UpdateForScheduler {
    UpdateForScheduler { update: Some(update) }
}

fn assignment(start: StartExecute) -> Assignment {
    let StartExecute { execute_request, queued_timestamp, operation_id, .. } = start;
    let request = execute_request.unwrap_or_default();
    let wanted = DigestFunction::from_wire(request.digest_function)
        .and_then(|function| Digest::from_field(function, request.action_digest.as_ref()))
        .map(|digest| WantedAction { digest, message: None })
        .map_err(|problem| Status::invalid_argument(format!("this worker cannot run the action: {problem}")));
    Assignment {
        id: operation_id,
        instance_name: request.instance_name,
        wanted,
        queued_at: queued_timestamp.and_then(moment).unwrap_or_else(SystemTime::now),
        auxiliary_metadata: Vec::new(),
        request_metadata: None,
    }
}

/// What came of an action: what failed by this machine's fault is to be tried elsewhere.
fn result(completion: &Completion) -> (Executed, Option<ResourceUsage>) {
    let response = deliverable(&completion.response);
    let metadata = response.result.as_ref().and_then(|result| result.execution_metadata.as_ref());
    let usage = metadata.and_then(|metadata| ResourceUsage::find(&metadata.auxiliary_metadata));
    let result = match response.status {
        Some(status) if matches!(Code::from(status.code), Code::Unavailable | Code::Internal) => {
            Executed::InternalError(status)
        }
        _ => Executed::ExecuteResponse(complete(response)),
    };
    (result, usage)
}

/// A response that the scheduler does not drop.
fn complete(mut response: ExecuteResponse) -> ExecuteResponse {
    let failed = response.status.as_ref().is_some_and(|status| status.code != 0);
    let result = response.result.get_or_insert_with(|| ActionResult {
        // Of nothing that ran.
        exit_code: i32::from(failed),
        ..ActionResult::default()
    });
    let empty = || Digest::empty(DigestFunction::Sha256).to_message();
    result.stdout_digest.get_or_insert_with(empty);
    result.stderr_digest.get_or_insert_with(empty);
    let metadata = result.execution_metadata.get_or_insert_default();
    let now = timestamp(SystemTime::now());
    let mut last = metadata.queued_timestamp.unwrap_or(now);
    for field in [
        &mut metadata.queued_timestamp,
        &mut metadata.worker_start_timestamp,
        &mut metadata.input_fetch_start_timestamp,
        &mut metadata.input_fetch_completed_timestamp,
        &mut metadata.execution_start_timestamp,
        &mut metadata.execution_completed_timestamp,
        &mut metadata.output_upload_start_timestamp,
        &mut metadata.output_upload_completed_timestamp,
        &mut metadata.worker_completed_timestamp,
    ] {
        last = *field.get_or_insert(last);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completion(status: Option<rpc::Status>, result: Option<ActionResult>) -> Completion {
        let response = ExecuteResponse { status, result, ..ExecuteResponse::default() };
        Completion { response, do_not_cache: false, ran_for: Duration::from_secs(1) }
    }

    fn status(code: Code) -> Option<rpc::Status> {
        Some(rpc::Status { code: code as i32, message: "why".into(), details: Vec::new() })
    }

    #[test]
    fn faults_of_this_machine_are_tried_elsewhere_and_others_are_told() {
        for code in [Code::Unavailable, Code::Internal] {
            assert!(matches!(result(&completion(status(code), None)).0, Executed::InternalError(_)));
        }
        for code in [Code::InvalidArgument, Code::FailedPrecondition, Code::DeadlineExceeded] {
            assert!(matches!(result(&completion(status(code), None)).0, Executed::ExecuteResponse(_)));
        }
    }

    #[test]
    fn every_response_has_what_the_scheduler_looks_at() {
        for completion in
            [completion(None, Some(ActionResult::default())), completion(status(Code::InvalidArgument), None)]
        {
            let (Executed::ExecuteResponse(response), _) = result(&completion) else { panic!("no response") };
            let result = response.result.unwrap();
            assert!(result.stdout_digest.is_some() && result.stderr_digest.is_some());
            assert_eq!(result.exit_code, i32::from(response.status.is_some()));
            let metadata = result.execution_metadata.unwrap();
            assert!(metadata.queued_timestamp.is_some() && metadata.worker_completed_timestamp.is_some());
            assert!(metadata.execution_start_timestamp.is_some());
            assert!(metadata.output_upload_completed_timestamp.is_some());
        }
    }
}
