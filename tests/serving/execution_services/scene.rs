//! A server on a loopback socket with scripted workers, and its clients.

use std::sync::Arc;

use crosswheel::cas::{ActionCache, BlobStore, DiskStore, StoreSettings};
use crosswheel::digest::{Digest, DigestFunction};
use crosswheel::execute::{Execute, timestamped};
use crosswheel::queue::{Pool, Queue, QueueSettings, Slot};
use crosswheel::reapi::bytestream::byte_stream_client::ByteStreamClient;
use crosswheel::reapi::bytestream::byte_stream_server::{ByteStream, ByteStreamServer};
use crosswheel::reapi::bytestream::{
    QueryWriteStatusRequest, QueryWriteStatusResponse, ReadRequest, ReadResponse, WriteRequest, WriteResponse,
};
use crosswheel::reapi::execution_client::ExecutionClient;
use crosswheel::reapi::execution_server::ExecutionServer;
use crosswheel::reapi::longrunning::operations_client::OperationsClient;
use crosswheel::reapi::longrunning::operations_server::OperationsServer;
use crosswheel::reapi::longrunning::{Operation, operation};
use crosswheel::reapi::{
    Action, Command, Directory, ExecuteOperationMetadata, ExecuteRequest, ExecuteResponse, ExecutionPolicy,
    Platform, RequestMetadata, WaitExecutionRequest, execution_stage, platform,
};
use crosswheel::server::{ExecutionService, ExecutionSettings, LogStreams, OperationsService};
use crosswheel::worker::local::LocalWorkers;
use futures_util::stream::BoxStream;
use prost::Message;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tonic::metadata::MetadataValue;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status, Streaming};

use super::scripted::{Run, Scripted};
use crate::support::waiting::{DEADLINE, eventually, messages, within};

pub use execution_stage::Value as Stage;

/// A server and what is behind it.
pub struct Scene {
    pub store: Arc<DiskStore>,
    pub queue: Arc<Queue>,
    pub runs: UnboundedReceiver<Run>,
    pub channel: Channel,
    execute: Arc<dyn Execute>,
    waiting_slots: Vec<Slot>,
    workers: Option<LocalWorkers>,
    _directory: tempfile::TempDir,
}

/// What an action is to be.
#[derive(Default)]
pub struct Wanted {
    pub action: Action,
    pub command: Command,
}

/// A request in the making.
#[derive(Clone)]
pub struct Asking {
    pub request: ExecuteRequest,
    pub metadata: Option<RequestMetadata>,
}

pub fn pool(name: &str, slots: usize, properties: &[(&str, &str)]) -> Pool {
    let properties = properties.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Pool { name: name.into(), slots, properties, preference: 0, timeouts: None }
}

pub fn host_pool(slots: usize) -> Pool {
    pool("native", slots, &[("Arch", "amd64"), ("OSFamily", "Linux"), ("python", "3.11,3.12")])
}

impl Scene {
    /// One slot, settings as they are by default.
    pub async fn new() -> Self {
        Self::with(vec![host_pool(1)], QueueSettings::default(), ExecutionSettings::default()).await
    }

    pub async fn with(pools: Vec<Pool>, settings: QueueSettings, execution: ExecutionSettings) -> Self {
        let mut scene = Self::without_workers(pools, settings, execution).await;
        scene.start_workers();
        scene
    }

    /// Nothing is executed until [`Scene::start_workers`].
    pub async fn without_workers(
        pools: Vec<Pool>,
        settings: QueueSettings,
        execution: ExecutionSettings,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let place = StoreSettings { directory: directory.path().to_owned(), ..StoreSettings::default() };
        let store = Arc::new(DiskStore::open(&place).unwrap());
        let (runs, received) = unbounded_channel();
        let (queue, slots) = Queue::new(pools, settings).unwrap();
        let queue = Arc::new(queue);
        let channel = serve(&queue, &store, execution).await;
        Self {
            store,
            queue,
            runs: received,
            channel,
            execute: Arc::new(timestamped(Scripted { runs })),
            waiting_slots: slots,
            workers: None,
            _directory: directory,
        }
    }

    pub fn start_workers(&mut self) {
        let slots = std::mem::take(&mut self.waiting_slots);
        let cache: Arc<dyn ActionCache> = self.store.clone();
        let execute = Arc::clone(&self.execute);
        let blobs: Arc<dyn BlobStore> = self.store.clone();
        let execute = |_: &Pool| Arc::clone(&execute);
        let workers = LocalWorkers::start(self.queue.clone(), slots, execute, &blobs, &cache);
        self.workers = Some(workers.unwrap());
    }

    /// Stores an action that runs `arguments`.
    pub fn action(&self, arguments: &[&str]) -> Digest {
        self.action_with(arguments, |_| {})
    }

    pub fn action_with(&self, arguments: &[&str], change: impl FnOnce(&mut Wanted)) -> Digest {
        let mut wanted = Wanted::default();
        wanted.command.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        change(&mut wanted);
        if wanted.action.input_root_digest.is_none() {
            wanted.action.input_root_digest = Some(self.store_message(&Directory::default()).to_message());
        }
        if wanted.action.command_digest.is_none() {
            wanted.action.command_digest = Some(self.store_message(&wanted.command).to_message());
        }
        self.store_message(&wanted.action)
    }

    pub fn store_message(&self, message: &impl Message) -> Digest {
        self.store_bytes(&message.encode_to_vec())
    }

    pub fn store_bytes(&self, bytes: &[u8]) -> Digest {
        let digest = DigestFunction::Sha256.digest(bytes);
        self.store.write(&digest, bytes.to_vec().into()).unwrap();
        digest
    }

    pub async fn execute(&self, asking: Asking) -> Result<Streaming<Operation>, Status> {
        let mut request = Request::new(asking.request);
        if let Some(metadata) = asking.metadata {
            request.metadata_mut().insert_bin(
                "build.bazel.remote.execution.v2.requestmetadata-bin",
                MetadataValue::from_bytes(&metadata.encode_to_vec()),
            );
        }
        Ok(ExecutionClient::new(self.channel.clone()).execute(request).await?.into_inner())
    }

    /// Executes to the end.
    pub async fn run(&self, asking: Asking) -> ExecuteResponse {
        end(self.execute(asking).await.unwrap()).await
    }

    pub async fn refusal(&self, asking: Asking) -> Status {
        self.execute(asking).await.expect_err("it is not executed")
    }

    pub async fn wait_execution(&self, name: &str) -> Result<Streaming<Operation>, Status> {
        let request = WaitExecutionRequest { name: name.to_owned() };
        Ok(ExecutionClient::new(self.channel.clone()).wait_execution(request).await?.into_inner())
    }

    pub async fn next_run(&mut self) -> Run {
        within("another action to run", self.runs.recv()).await.unwrap()
    }

    pub fn operations(&self) -> OperationsClient<Channel> {
        OperationsClient::new(self.channel.clone())
    }

    /// Reads a stream of a running action.
    pub async fn read(
        &self,
        resource_name: &str,
        read_offset: i64,
    ) -> Result<Streaming<ReadResponse>, Status> {
        let request = ReadRequest { resource_name: resource_name.into(), read_offset, read_limit: 0 };
        Ok(ByteStreamClient::new(self.channel.clone()).read(request).await?.into_inner())
    }

    /// Returns once the queue looks like this.
    pub async fn until(&self, is_so: impl Fn(&crosswheel::queue::Statistics) -> bool) {
        eventually("the queue to be as wanted", async || is_so(&self.queue.statistics())).await;
    }
}

/// An action to execute.
pub fn ask(action: Digest) -> Asking {
    let request = ExecuteRequest { action_digest: Some(action.to_message()), ..Default::default() };
    Asking { request, metadata: None }
}

impl Asking {
    pub fn priority(mut self, priority: i32) -> Self {
        self.request.execution_policy = Some(ExecutionPolicy { priority });
        self
    }

    pub fn skipping_the_cache(mut self) -> Self {
        self.request.skip_cache_lookup = true;
        self
    }

    pub fn instance(mut self, name: &str) -> Self {
        self.request.instance_name = name.to_owned();
        self
    }

    pub fn invocation(mut self, id: &str) -> Self {
        self.metadata.get_or_insert_default().tool_invocation_id = id.to_owned();
        self
    }
}

pub fn platform(properties: &[(&str, &str)]) -> Platform {
    let property = |(name, value): &(&str, &str)| platform::Property {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    Platform { properties: properties.iter().map(property).collect() }
}

pub fn metadata(operation: &Operation) -> ExecuteOperationMetadata {
    let any = operation.metadata.as_ref().unwrap();
    assert_eq!(any.type_url, "type.googleapis.com/build.bazel.remote.execution.v2.ExecuteOperationMetadata");
    ExecuteOperationMetadata::decode(&any.value[..]).unwrap()
}

/// The next update, which must not be the end of the stream.
pub async fn update(updates: &mut Streaming<Operation>) -> Operation {
    within("another update", updates.message()).await.unwrap().expect("another update")
}

/// The first update in which the operation has reached a stage.
pub async fn reach(updates: &mut Streaming<Operation>, stage: Stage) -> Operation {
    let reaching = async {
        loop {
            let operation = update(updates).await;
            if metadata(&operation).stage() == stage {
                return operation;
            }
        }
    };
    within("an operation to reach a stage", reaching).await
}

/// How an operation ends.
pub async fn end(updates: Streaming<Operation>) -> ExecuteResponse {
    let updates = messages("the end of an operation", updates).await.unwrap();
    response(updates.last().expect("at least one update"))
}

/// The response of an operation that is done.
pub fn response(operation: &Operation) -> ExecuteResponse {
    assert!(operation.done);
    assert_eq!(metadata(operation).stage(), Stage::Completed);
    match operation.result.as_ref().unwrap() {
        operation::Result::Response(any) => {
            assert_eq!(any.type_url, "type.googleapis.com/build.bazel.remote.execution.v2.ExecuteResponse");
            ExecuteResponse::decode(&any.value[..]).unwrap()
        }
        operation::Result::Error(error) => panic!("the API wants no error here: {error:?}"),
    }
}

pub fn code(response: &ExecuteResponse) -> Code {
    Code::from_i32(response.status.as_ref().unwrap().code)
}

async fn serve(queue: &Arc<Queue>, store: &Arc<DiskStore>, settings: ExecutionSettings) -> Channel {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let execution = ExecutionService::new(queue.clone(), store.clone(), store.clone(), settings);
    let server = Server::builder()
        .add_service(ExecutionServer::new(execution))
        .add_service(OperationsServer::new(OperationsService::new(queue.clone())))
        .add_service(ByteStreamServer::new(OnlyLogs(LogStreams::new(queue.clone()))))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
    tokio::spawn(server);
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap().timeout(DEADLINE);
    within("a connection", endpoint.connect()).await.unwrap()
}

/// A ByteStream service without blobs.
struct OnlyLogs(LogStreams);

#[tonic::async_trait]
impl ByteStream for OnlyLogs {
    type ReadStream = BoxStream<'static, Result<ReadResponse, Status>>;

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let stream = self.0.read(&request.into_inner());
        stream.unwrap_or_else(|| Err(Status::invalid_argument("no stream of an action"))).map(Response::new)
    }

    async fn write(&self, _: Request<Streaming<WriteRequest>>) -> Result<Response<WriteResponse>, Status> {
        Err(Status::unimplemented("nothing is written here"))
    }

    async fn query_write_status(
        &self,
        _: Request<QueryWriteStatusRequest>,
    ) -> Result<Response<QueryWriteStatusResponse>, Status> {
        Err(Status::unimplemented("nothing is written here"))
    }
}
