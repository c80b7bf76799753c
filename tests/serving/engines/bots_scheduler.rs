//! A scheduler of BuildGrid that does what a test says.

use crosswheel::digest::DigestFunction;
use crosswheel::reapi::protobuf::Any;
use crosswheel::reapi::{Action, ActionResult, ExecuteOperationMetadata, ExecutedActionMetadata};
use crosswheel::worker_protocols::bots::bots_server::{Bots, BotsServer};
use crosswheel::worker_protocols::bots::{
    BotSession, CreateBotSessionRequest, Lease, LeaseState, UpdateBotSessionRequest,
};
use prost::Message;
use tokio::sync::mpsc::UnboundedSender;
use tonic::metadata::MetadataValue;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::scheduler::{Call, Scheduler, ask};

/// A session as its bot has it.
#[derive(Debug, Clone)]
pub struct Session {
    /// It is to begin.
    pub is_new: bool,
    pub session: BotSession,
}

pub type SessionCall = Call<Session, BotSession>;
pub type BotsScheduler = Scheduler<SessionCall>;

struct Service(UnboundedSender<SessionCall>);

#[tonic::async_trait]
impl Bots for Service {
    async fn create_bot_session(
        &self,
        request: Request<CreateBotSessionRequest>,
    ) -> Result<Response<BotSession>, Status> {
        let session = |request: CreateBotSessionRequest| request.bot_session.unwrap();
        ask(&self.0, request.map(|request| Session { is_new: true, session: session(request) })).await
    }

    async fn update_bot_session(
        &self,
        request: Request<UpdateBotSessionRequest>,
    ) -> Result<Response<BotSession>, Status> {
        let session = |request: UpdateBotSessionRequest| request.bot_session.unwrap();
        ask(&self.0, request.map(|request| Session { is_new: false, session: session(request) })).await
    }
}

pub fn start() -> BotsScheduler {
    Scheduler::of(|calls| Routes::new(BotsServer::new(Service(calls))))
}

pub fn any(name: &str, value: Vec<u8>) -> Any {
    Any { type_url: format!("type.googleapis.com/build.bazel.remote.execution.v2.{name}"), value }
}

/// A lease for an action.
pub fn lease(id: &str, action: &Action) -> Lease {
    Lease {
        id: id.to_owned(),
        state: LeaseState::Active as i32,
        payload: Some(any("Action", action.encode_to_vec())),
        ..Lease::default()
    }
}

/// The result of a lease that has ended.
pub fn result(lease: &Lease) -> ActionResult {
    assert_eq!(lease.state(), LeaseState::Completed, "{lease:?}");
    ActionResult::decode(&*lease.result.as_ref().unwrap().value).unwrap()
}

/// What a bot was told of the action of the lease with this UUID.
pub fn progress(call: &SessionCall, uuid: &str) -> Option<ExecutedActionMetadata> {
    let header = call.headers.get_bin(format!("partial-execution-metadata-{uuid}-bin"))?;
    Some(ExecutedActionMetadata::decode(header.to_bytes().unwrap()).unwrap())
}

impl SessionCall {
    /// Answers with these leases, as a session of this name.
    pub fn grant(self, name: &str, leases: &[Lease]) {
        let session = self.session(name, leases);
        self.answer(session);
    }

    /// As [`Self::grant`], and says which action the lease is for.
    pub fn grant_with_metadata(self, name: &str, lease: &Lease, metadata: &ExecuteOperationMetadata) {
        let mut response = Response::new(self.session(name, std::slice::from_ref(lease)));
        let value = MetadataValue::from_bytes(&metadata.encode_to_vec());
        response.metadata_mut().insert_bin("executeoperationmetadata-bin", value);
        self.answer_with(Ok(response));
    }

    fn session(&self, name: &str, leases: &[Lease]) -> BotSession {
        let before = &self.said.session;
        let version = before.version.parse().map_or(0, |version: u64| version + 1);
        BotSession {
            name: name.to_owned(),
            version: version.to_string(),
            leases: leases.to_vec(),
            ..before.clone()
        }
    }
}

impl BotsScheduler {
    /// Hands a lease to the bot, which must have none. Returns what it has said of itself.
    pub async fn hand_out(&mut self, lease: &Lease) -> Session {
        let call = self.call().await;
        assert_eq!(call.said.session.leases, []);
        let said = call.said.clone();
        call.grant("session", std::slice::from_ref(lease));
        said
    }

    /// Hears of a lease until it has ended, and takes the result.
    pub async fn completion(&mut self, lease: &Lease) -> Lease {
        loop {
            let call = self.call().await;
            let [heard] = &*call.said.session.leases else { panic!("{:?}", call.said) };
            assert_eq!(heard.id, lease.id);
            if heard.state() == LeaseState::Completed {
                let heard = heard.clone();
                call.grant("session", &[]);
                return heard;
            }
            call.grant("session", std::slice::from_ref(lease));
        }
    }
}

/// Metadata that a lease for this action comes with.
pub fn operation_metadata(action: &Action) -> ExecuteOperationMetadata {
    let digest = DigestFunction::Sha256.digest(&action.encode_to_vec());
    ExecuteOperationMetadata { action_digest: Some(digest.to_message()), ..Default::default() }
}
