//! A scheduler of NativeLink that does what a test says.

use std::time::SystemTime;

use crosswheel::reapi::protobuf::Empty;
use crosswheel::reapi::{Digest, ExecuteRequest, timestamp};
use crosswheel::worker_protocols::nativelink::update_for_scheduler::Update as ForScheduler;
use crosswheel::worker_protocols::nativelink::update_for_worker::Update as ForWorker;
use crosswheel::worker_protocols::nativelink::worker_api_server::{WorkerApi, WorkerApiServer};
use crosswheel::worker_protocols::nativelink::{
    ConnectWorkerRequest, ConnectionResult, ExecuteResult, KillOperationRequest, StartExecute,
    UpdateForScheduler, UpdateForWorker,
};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use super::scheduler::{Heard, Scheduler};
use crate::support::waiting::within;

/// A worker that has connected, and was greeted. It is let go when this is dropped.
pub struct Connection {
    pub hello: ConnectWorkerRequest,
    pub headers: MetadataMap,
    said: mpsc::UnboundedReceiver<ForScheduler>,
    say: mpsc::UnboundedSender<Result<UpdateForWorker, Status>>,
}

pub type NativeLinkScheduler = Scheduler<Connection>;

impl Heard for Connection {
    fn is_given_up(&self) -> bool {
        self.say.is_closed()
    }
}

struct Service(mpsc::UnboundedSender<Connection>);

#[tonic::async_trait]
impl WorkerApi for Service {
    type ConnectWorkerStream = UnboundedReceiverStream<Result<UpdateForWorker, Status>>;

    async fn connect_worker(
        &self,
        request: Request<Streaming<UpdateForScheduler>>,
    ) -> Result<Response<Self::ConnectWorkerStream>, Status> {
        let headers = request.metadata().clone();
        let mut updates = request.into_inner();
        let hello = updates.next().await.and_then(|update| update.ok()?.update);
        let Some(ForScheduler::ConnectWorkerRequest(hello)) = hello else {
            return Err(Status::invalid_argument("a worker says first who it is"));
        };
        let (hear, said) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(UpdateForScheduler { update: Some(update) })) = updates.next().await {
                if hear.send(update).is_err() {
                    break;
                }
            }
        });
        let (say, answers) = mpsc::unbounded_channel();
        let connection = Connection { hello, headers, said, say };
        connection.say(ForWorker::ConnectionResult(ConnectionResult { worker_id: "worker".to_owned() }));
        let _ = self.0.send(connection);
        Ok(Response::new(UnboundedReceiverStream::new(answers)))
    }
}

pub fn start() -> NativeLinkScheduler {
    Scheduler::of(|calls| Routes::new(WorkerApiServer::new(Service(calls))))
}

/// An action as it is handed out.
pub fn start_execute(operation: &str, action: &Digest) -> StartExecute {
    let request = ExecuteRequest { action_digest: Some(action.clone()), ..ExecuteRequest::default() };
    StartExecute {
        execute_request: Some(request),
        queued_timestamp: Some(timestamp(SystemTime::now())),
        operation_id: operation.to_owned(),
        ..StartExecute::default()
    }
}

impl Connection {
    pub fn say(&self, what: ForWorker) {
        // Whoever was connected may have gone.
        let _ = self.say.send(Ok(UpdateForWorker { update: Some(what) }));
    }

    pub fn hand_out(&self, start: &StartExecute) {
        self.say(ForWorker::StartAction(start.clone()));
    }

    pub fn kill(&self, operation: &str) {
        let operation_id = operation.to_owned();
        self.say(ForWorker::KillOperationRequest(KillOperationRequest { operation_id }));
    }

    pub fn disconnect(&self) {
        self.say(ForWorker::Disconnect(Empty {}));
    }

    /// What it says next, signs of life among it; nothing once it has gone.
    pub async fn next(&mut self) -> Option<ForScheduler> {
        within("the worker to say something", self.said.recv()).await
    }

    /// What it says next but signs of life.
    pub async fn heard(&mut self) -> Option<ForScheduler> {
        loop {
            match self.next().await {
                Some(ForScheduler::KeepAliveRequest(_)) => {}
                other => return other,
            }
        }
    }

    /// The result of this operation, before which it says that its place is free.
    pub async fn result(&mut self, operation: &str) -> ExecuteResult {
        match self.heard().await {
            Some(ForScheduler::ExecuteComplete(complete)) => assert_eq!(complete.operation_id, operation),
            other => panic!("{other:?}"),
        }
        match self.heard().await {
            Some(ForScheduler::ExecuteResult(result)) => {
                assert_eq!(result.operation_id, operation);
                result
            }
            other => panic!("{other:?}"),
        }
    }
}
