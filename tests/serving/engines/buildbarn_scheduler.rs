//! A scheduler of Buildbarn that does what a test says.

use std::time::SystemTime;

use crosswheel::reapi::protobuf::{Any, Empty, Timestamp};
use crosswheel::reapi::{Action, Digest, ExecuteResponse, timestamp};
use crosswheel::worker_protocols::buildbarn::current_state::WorkerState;
use crosswheel::worker_protocols::buildbarn::current_state::executing::ExecutionState;
use crosswheel::worker_protocols::buildbarn::operation_queue_server::{OperationQueue, OperationQueueServer};
use crosswheel::worker_protocols::buildbarn::{
    DesiredState, SynchronizeRequest, SynchronizeResponse, desired_state,
};
use tokio::sync::mpsc::UnboundedSender;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::scene::Scene;
use super::scheduler::{Call, Scheduler, ask};

pub type SynchronizeCall = Call<SynchronizeRequest, SynchronizeResponse>;
pub type BuildbarnScheduler = Scheduler<SynchronizeCall>;

struct Service(UnboundedSender<SynchronizeCall>);

#[tonic::async_trait]
impl OperationQueue for Service {
    async fn synchronize(
        &self,
        request: Request<SynchronizeRequest>,
    ) -> Result<Response<SynchronizeResponse>, Status> {
        ask(&self.0, request).await
    }
}

pub fn start() -> BuildbarnScheduler {
    Scheduler::of(|calls| Routes::new(OperationQueueServer::new(Service(calls))))
}

/// What a worker says that it does.
#[derive(Debug, PartialEq)]
pub enum Said {
    Idle,
    Stage(&'static str),
    Completed(Box<ExecuteResponse>),
}

pub fn said(request: &SynchronizeRequest) -> Said {
    match request.current_state.clone().unwrap().worker_state.unwrap() {
        WorkerState::Idle(Empty {}) => Said::Idle,
        WorkerState::Executing(executing) => match executing.execution_state.unwrap() {
            ExecutionState::Started(_) => Said::Stage("started"),
            ExecutionState::FetchingInputs(_) => Said::Stage("fetching"),
            ExecutionState::Running(_) => Said::Stage("running"),
            ExecutionState::UploadingOutputs(_) => Said::Stage("uploading"),
            ExecutionState::Completed(response) => Said::Completed(Box::new(response)),
        },
    }
}

/// An action as it is handed out.
#[derive(Debug, Clone)]
pub struct Handed {
    pub digest: Digest,
    pub action: Option<Action>,
    pub queued: Timestamp,
    pub digest_function: i32,
    pub auxiliary: Vec<Any>,
}

impl Handed {
    pub async fn of(scene: &Scene, digest: &Digest) -> Self {
        Self {
            digest: digest.clone(),
            action: Some(scene.message_of(digest).await),
            queued: timestamp(SystemTime::now()),
            digest_function: 0,
            auxiliary: Vec::new(),
        }
    }

    /// The same action, which somebody wants anew.
    pub fn anew(&self) -> Self {
        Self { queued: timestamp(SystemTime::now()), ..self.clone() }
    }
}

pub fn go_on() -> SynchronizeResponse {
    SynchronizeResponse::default()
}

pub fn idle() -> SynchronizeResponse {
    desired(desired_state::WorkerState::Idle(Empty {}))
}

pub fn execute(handed: &Handed) -> SynchronizeResponse {
    desired(desired_state::WorkerState::Executing(desired_state::Executing {
        action_digest: Some(handed.digest.clone()),
        action: handed.action.clone(),
        queued_timestamp: Some(handed.queued),
        auxiliary_metadata: handed.auxiliary.clone(),
        digest_function: handed.digest_function,
        ..Default::default()
    }))
}

fn desired(state: desired_state::WorkerState) -> SynchronizeResponse {
    let desired_state = Some(DesiredState { worker_state: Some(state) });
    SynchronizeResponse { desired_state, ..SynchronizeResponse::default() }
}

impl BuildbarnScheduler {
    /// Hands an action to the worker, which must be free. Returns what it has said of itself.
    pub async fn hand_out(&mut self, handed: &Handed) -> SynchronizeRequest {
        let call = self.call().await;
        assert_eq!(said(&call.said), Said::Idle);
        let request = call.said.clone();
        call.answer(execute(handed));
        request
    }

    /// Hears of an action until it has ended: the stages of which it was told, and the result.
    pub async fn completion(&mut self) -> (Vec<&'static str>, ExecuteResponse) {
        let mut stages = Vec::new();
        loop {
            let call = self.call().await;
            match said(&call.said) {
                Said::Idle => panic!("the worker knows nothing of its action; after {stages:?}"),
                Said::Stage(stage) => {
                    if stages.last() != Some(&stage) {
                        stages.push(stage);
                    }
                    call.answer(go_on());
                }
                Said::Completed(response) => {
                    call.answer(idle());
                    return (stages, *response);
                }
            }
        }
    }

    /// Hears of an action until it has come to this stage.
    pub async fn stage(&mut self, stage: &'static str) {
        loop {
            let call = self.call().await;
            let heard = said(&call.said);
            call.answer(go_on());
            if heard == Said::Stage(stage) {
                return;
            }
            assert!(matches!(heard, Said::Stage(_)), "{heard:?}");
        }
    }
}
