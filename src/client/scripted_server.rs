//! A server in this process that does what a test tells it to, attempt by attempt; and the tests of what the
//! client makes of it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Endpoint, Server};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::*;
use crate::cas::{BlobStore, DiskStore, StoreError, StoreSettings};
use crate::digest::{Digest, DigestFunction};
use crate::reapi::action_cache_server::{ActionCache, ActionCacheServer};
use crate::reapi::bytestream::byte_stream_server::{ByteStream, ByteStreamServer};
use crate::reapi::bytestream::*;
use crate::reapi::execution_server::{Execution, ExecutionServer};
use crate::reapi::longrunning::operations_server::{Operations, OperationsServer};
use crate::reapi::longrunning::*;
use crate::reapi::protobuf::{Any, Empty};
use crate::reapi::{execution_stage::Value as Stage, *};
use crate::remote::in_process;

/// What happens in the stream of one Execute or WaitExecution.
#[derive(Clone)]
enum Step {
    Is(Stage),
    Done(Box<ExecuteResponse>),
    Fail(Status),
    /// Nothing more ever comes.
    Hang,
}

#[derive(Default)]
struct Script {
    attempts: VecDeque<Vec<Step>>,
    known: Option<ActionResult>,
    stderr: Option<Vec<u8>>,
    calls: Vec<String>,
    metadata: Vec<RequestMetadata>,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Scripted {
    fn note<T>(&self, call: impl Into<String>, request: &Request<T>) {
        let header = request.metadata().get_bin("build.bazel.remote.execution.v2.requestmetadata-bin");
        let mut script = self.0.lock();
        script.calls.push(call.into());
        let metadata = header.and_then(|header| RequestMetadata::decode(header.to_bytes().unwrap()).ok());
        script.metadata.extend(metadata);
    }

    fn play(&self) -> Result<Response<Answers<Operation>>, Status> {
        let mut script = self.0.lock();
        let steps = script.attempts.pop_front().ok_or_else(|| Status::internal("the script is over"))?;
        if let Some(Step::Fail(status)) = steps.first() {
            return Err(status.clone());
        }
        let stream_name = script.stderr.as_ref().map_or(String::new(), |_| "stderr/1".to_owned());
        let answers = stream::iter(steps).filter_map(move |step| {
            let stream_name = stream_name.clone();
            async move {
                let operation = |stage: Stage, response: Option<ExecuteResponse>| {
                    let metadata = ExecuteOperationMetadata {
                        stage: stage as i32,
                        stderr_stream_name: stream_name,
                        ..ExecuteOperationMetadata::default()
                    };
                    let any =
                        |name: &str, value| Any { type_url: format!("type.googleapis.com/x.{name}"), value };
                    Operation {
                        name: "operations/1".into(),
                        metadata: Some(any("ExecuteOperationMetadata", metadata.encode_to_vec())),
                        done: response.is_some(),
                        result: response.map(|response| {
                            operation::Result::Response(any("ExecuteResponse", response.encode_to_vec()))
                        }),
                    }
                };
                match step {
                    Step::Is(stage) => Some(Ok(operation(stage, None))),
                    Step::Done(response) => Some(Ok(operation(Stage::Completed, Some(*response)))),
                    Step::Fail(status) => Some(Err(status)),
                    Step::Hang => std::future::pending().await,
                }
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

#[tonic::async_trait]
impl Execution for Scripted {
    type ExecuteStream = Answers<Operation>;
    type WaitExecutionStream = Answers<Operation>;

    async fn execute(
        &self,
        request: Request<ExecuteRequest>,
    ) -> Result<Response<Answers<Operation>>, Status> {
        let skip = if request.get_ref().skip_cache_lookup { " skipping the cache" } else { "" };
        self.note(format!("execute{skip}"), &request);
        self.play()
    }

    async fn wait_execution(
        &self,
        request: Request<WaitExecutionRequest>,
    ) -> Result<Response<Answers<Operation>>, Status> {
        self.note(format!("wait for {}", request.get_ref().name), &request);
        self.play()
    }
}

#[tonic::async_trait]
impl ActionCache for Scripted {
    async fn get_action_result(
        &self,
        request: Request<GetActionResultRequest>,
    ) -> Result<Response<ActionResult>, Status> {
        self.note("look up", &request);
        let known = self.0.lock().known.clone();
        known.map(Response::new).ok_or_else(|| Status::not_found("no"))
    }

    async fn update_action_result(
        &self,
        _: Request<UpdateActionResultRequest>,
    ) -> Result<Response<ActionResult>, Status> {
        Err(Status::unimplemented("not by clients"))
    }
}

#[tonic::async_trait]
impl Operations for Scripted {
    async fn cancel_operation(
        &self,
        request: Request<CancelOperationRequest>,
    ) -> Result<Response<Empty>, Status> {
        self.note(format!("cancel {}", request.get_ref().name), &request);
        Ok(Response::new(Empty {}))
    }

    async fn list_operations(
        &self,
        _: Request<ListOperationsRequest>,
    ) -> Result<Response<ListOperationsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_operation(&self, _: Request<GetOperationRequest>) -> Result<Response<Operation>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn delete_operation(&self, _: Request<DeleteOperationRequest>) -> Result<Response<Empty>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn wait_operation(&self, _: Request<WaitOperationRequest>) -> Result<Response<Operation>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[tonic::async_trait]
impl ByteStream for Scripted {
    type ReadStream = Answers<ReadResponse>;

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Answers<ReadResponse>>, Status> {
        let data = self.0.lock().stderr.clone().unwrap_or_default();
        let offset = usize::try_from(request.get_ref().read_offset).unwrap().min(data.len());
        let chunks: Vec<_> =
            data[offset..].chunks(2).map(|chunk| Ok(ReadResponse { data: chunk.to_vec() })).collect();
        Ok(Response::new(Box::pin(stream::iter(chunks))))
    }

    async fn write(
        &self,
        _: Request<tonic::Streaming<WriteRequest>>,
    ) -> Result<Response<WriteResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn query_write_status(
        &self,
        _: Request<QueryWriteStatusRequest>,
    ) -> Result<Response<QueryWriteStatusResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

struct Fixture {
    _runtime: tokio::runtime::Runtime,
    directory: tempfile::TempDir,
    store: Arc<DiskStore>,
    scripted: Scripted,
    client: Client,
}

impl Fixture {
    fn new(attempts: impl IntoIterator<Item = Vec<Step>>) -> Self {
        Self::with_patience(attempts, Duration::from_secs(3600))
    }

    fn with_patience(attempts: impl IntoIterator<Item = Vec<Step>>, patience: Duration) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let settings =
            StoreSettings { directory: directory.path().join("store"), ..StoreSettings::default() };
        let store = Arc::new(DiskStore::open(&settings).unwrap());
        let scripted = Scripted::default();
        scripted.0.lock().attempts = attempts.into_iter().collect();
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let server = Server::builder()
            .add_service(ExecutionServer::new(scripted.clone()))
            .add_service(ActionCacheServer::new(scripted.clone()))
            .add_service(OperationsServer::new(scripted.clone()))
            .add_service(ByteStreamServer::new(scripted.clone()));
        runtime.spawn(
            server.serve_with_incoming(
                stream::iter([Ok::<_, std::io::Error>(theirs)]).chain(stream::pending()),
            ),
        );
        let mut ours = Some(ours);
        let connector = tower::service_fn(move |_| {
            let ours = ours.take().map(TokioIo::new);
            async move { ours.ok_or_else(|| std::io::Error::other("only one connection")) }
        });
        let channel = runtime.block_on(async {
            Endpoint::from_static("http://localhost").connect_with_connector(connector).await.unwrap()
        });
        let client = Client::new(ClientSettings {
            runtime: runtime.handle().clone(),
            channel: in_process(channel),
            store: Arc::clone(&store) as Arc<dyn BlobStore>,
            instance_name: String::new(),
            patience,
        });
        Self { _runtime: runtime, directory, store, scripted, client }
    }

    fn run(&self, job: &Job) -> (Result<Finished, ClientError>, Vec<String>) {
        let mut events = Vec::new();
        let finished = self.client.run(job, true, &CancellationToken::new(), |event| {
            events.push(match event {
                JobEvent::Stderr(bytes) => format!("stderr {}", String::from_utf8_lossy(bytes)),
                JobEvent::Uploaded(uploaded) => format!("uploaded {}", uploaded.blobs),
                JobEvent::Restarted(_) => "restarted".into(),
                JobEvent::Reconnecting(_) => "reconnecting".into(),
                other => format!("{other:?}"),
            });
        });
        (finished, events)
    }

    fn calls(&self) -> Vec<String> {
        self.scripted.0.lock().calls.clone()
    }

    fn put(&self, bytes: &[u8]) -> Option<reapi::Digest> {
        let digest = DigestFunction::Sha256.digest(bytes);
        self.store.write(&digest, bytes.to_vec().into()).unwrap();
        Some(digest.to_message())
    }
}

use crate::reapi;

fn job() -> Job {
    let mut inputs = InputRoot::default();
    inputs.add_bytes("in/file", "content".into()).unwrap();
    Job { arguments: vec!["true".into()], inputs, mnemonic: "Test".into(), ..Job::default() }
}

fn done() -> Step {
    let result = ActionResult { stdout_raw: b"out".to_vec(), ..ActionResult::default() };
    Step::Done(Box::new(ExecuteResponse { result: Some(result), ..ExecuteResponse::default() }))
}

fn done_with(status: Status) -> Step {
    let status = rpc::Status::decode(status.details()).map_or_else(
        |_| rpc::Status { code: status.code() as i32, message: status.message().into(), details: Vec::new() },
        |inner| rpc::Status { code: status.code() as i32, message: status.message().into(), ..inner },
    );
    Step::Done(Box::new(ExecuteResponse { status: Some(status), ..ExecuteResponse::default() }))
}

fn missing(digest: &Digest) -> Status {
    let mut details = ErrorDetails::new();
    details.add_precondition_failure_violation("MISSING", format!("blobs/{digest}"), "an input");
    Status::with_error_details(Code::FailedPrecondition, "inputs are missing", details)
}

#[test]
fn a_job_is_looked_up_uploaded_executed_and_read() {
    let fixture = Fixture::new([vec![
        Step::Is(Stage::Queued),
        Step::Is(Stage::Executing),
        Step::Is(Stage::Executing),
        done(),
    ]]);
    let (finished, events) = fixture.run(&job());
    let finished = finished.unwrap();
    assert_eq!((finished.exit_code, &finished.stdout[..], finished.cached), (0, &b"out"[..], false));
    // The file, two directories, Command and Action.
    assert_eq!(events, ["uploaded 5", "Queued", "Executing"]);
    assert_eq!(fixture.calls(), ["look up", "execute"]);
    let metadata = fixture.scripted.0.lock().metadata.clone();
    assert_eq!(metadata[1].action_mnemonic, "Test");
    assert_eq!(metadata[1].tool_details.as_ref().unwrap().tool_name, "crosswheel");
    assert_eq!(metadata[0].tool_invocation_id, metadata[1].tool_invocation_id);
}

#[test]
fn a_known_result_is_not_executed_unless_that_is_wanted() {
    let fixture = Fixture::new([vec![done()]]);
    let known = ActionResult { stdout_digest: fixture.put(b"known"), ..ActionResult::default() };
    fixture.scripted.0.lock().known = Some(known);
    let finished = fixture.run(&job()).0.unwrap();
    assert_eq!((&finished.stdout[..], finished.cached), (&b"known"[..], true));
    let again = Job { skip_cache: true, ..job() };
    assert!(!fixture.run(&again).0.unwrap().cached);
    assert_eq!(fixture.calls(), ["look up", "execute skipping the cache"]);
}

#[test]
fn a_known_result_whose_outputs_are_gone_is_executed_again() {
    let lost = |path: &str| OutputFile {
        path: path.into(),
        digest: Some(DigestFunction::Sha256.digest(b"lost").to_message()),
        ..OutputFile::default()
    };
    let known = ActionResult { output_files: vec![lost("a")], ..ActionResult::default() };
    let cached =
        ExecuteResponse { result: Some(known.clone()), cached_result: true, ..ExecuteResponse::default() };
    let fixture = Fixture::new([vec![Step::Done(Box::new(cached))], vec![done()]]);
    fixture.scripted.0.lock().known = Some(known);
    assert!(!fixture.run(&job()).0.unwrap().cached);
    assert_eq!(fixture.calls(), ["look up", "execute", "execute skipping the cache"]);
}

#[test]
fn a_stream_that_breaks_is_taken_up_again() {
    let fixture = Fixture::new([
        vec![Step::Is(Stage::Queued)],
        vec![Step::Is(Stage::Executing), Step::Fail(Status::unavailable("restarting"))],
        vec![done()],
    ]);
    let (finished, events) = fixture.run(&job());
    finished.unwrap();
    assert_eq!(fixture.calls(), ["look up", "execute", "wait for operations/1", "wait for operations/1"]);
    assert_eq!(events[1..], ["Queued", "reconnecting", "Executing", "reconnecting"]);
}

#[test]
fn an_execution_that_the_server_forgot_is_started_again() {
    let fixture = Fixture::new([
        vec![Step::Is(Stage::Executing)],
        vec![Step::Fail(Status::not_found("no such operation"))],
        vec![Step::Is(Stage::Executing), done()],
    ]);
    let (finished, events) = fixture.run(&job());
    finished.unwrap();
    assert_eq!(fixture.calls(), ["look up", "execute", "wait for operations/1", "execute"]);
    assert_eq!(events[1..], ["Executing", "reconnecting", "restarted", "Executing"]);
}

/// Two servers behind one address, say, that know nothing of each other.
#[test]
fn a_server_that_forgets_every_execution_is_given_up() {
    let forgets = || vec![Step::Is(Stage::Executing), Step::Fail(Status::not_found("no such operation"))];
    let fixture = Fixture::new(vec![forgets(); 9]);
    let (error, events) = fixture.run(&job());
    let error = error.unwrap_err();
    assert!(matches!(error, ClientError::Forgotten(3)), "{error}");
    assert!(error.to_string().contains("3 times"), "{error}");
    assert_eq!(fixture.calls(), ["look up", "execute", "execute", "execute"]);
    assert_eq!(events.iter().filter(|event| *event == "restarted").count(), 2);
}

#[test]
fn nothing_is_executed_again_for_somebody_who_has_left() {
    let forgets = || vec![Step::Is(Stage::Executing), Step::Fail(Status::not_found("no such operation"))];
    let fixture = Fixture::new(vec![forgets(); 9]);
    let cancelled = CancellationToken::new();
    let finished = fixture.client.run(&job(), false, &cancelled, |event| {
        if matches!(event, JobEvent::Restarted(_)) {
            cancelled.cancel();
        }
    });
    assert!(matches!(finished, Err(ClientError::Cancelled)), "{finished:?}");
    assert_eq!(fixture.calls(), ["look up", "execute"]);
}

#[test]
fn a_server_that_insists_on_a_result_that_it_lost_is_given_up() {
    let lost = OutputFile {
        path: "a".into(),
        digest: Some(DigestFunction::Sha256.digest(b"lost").to_message()),
        ..OutputFile::default()
    };
    let result = ActionResult { output_files: vec![lost], ..ActionResult::default() };
    let cached = ExecuteResponse { result: Some(result), cached_result: true, ..ExecuteResponse::default() };
    let fixture = Fixture::new(vec![vec![Step::Done(Box::new(cached))]; 9]);
    let error = fixture.run(&job()).0.unwrap_err();
    assert!(matches!(error, ClientError::StaleResult(3)), "{error}");
    assert_eq!(fixture.calls()[1..3], ["execute", "execute skipping the cache"]);
    assert_eq!(fixture.calls().len(), 5);
}

#[test]
fn blobs_that_the_server_lost_are_sent_again() {
    let digest = DigestFunction::Sha256.digest(b"content");
    // As the end of the call, and within the response.
    let fixture = Fixture::new([
        vec![Step::Fail(missing(&digest))],
        vec![Step::Is(Stage::Executing), done_with(missing(&digest))],
        vec![done()],
    ]);
    fixture.run(&job()).0.unwrap();
    assert_eq!(fixture.calls(), ["look up", "execute", "execute", "execute"]);
    // One that never has them, and one that wants what we do not have.
    let fixture = Fixture::new(vec![vec![Step::Fail(missing(&digest))]; 9]);
    assert!(matches!(fixture.run(&job()).0, Err(ClientError::StillMissing(_))));
    assert_eq!(fixture.calls().len(), 5);
    let other = DigestFunction::Sha256.digest(b"other");
    let fixture = Fixture::new([vec![Step::Fail(missing(&other))]]);
    let error = fixture.run(&job()).0.unwrap_err();
    assert!(error.to_string().contains(&other.to_string()), "{error}");
}

#[test]
fn a_refusal_is_final_and_in_the_servers_words() {
    for attempt in [
        vec![Step::Fail(Status::failed_precondition("No workers exist for Arch=arm64"))],
        vec![
            Step::Is(Stage::Queued),
            done_with(Status::failed_precondition("No workers exist for Arch=arm64")),
        ],
        vec![Step::Fail(Status::permission_denied("No workers exist for you"))],
    ] {
        let error = Fixture::new([attempt]).run(&job()).0.unwrap_err();
        assert!(error.to_string().contains("No workers exist for"), "{error}");
    }
    let late = done_with(Status::deadline_exceeded("after 60 s"));
    let error = Fixture::new([vec![late]]).run(&job()).0.unwrap_err();
    assert!(matches!(error, ClientError::TimedOut(_)), "{error}");
}

#[test]
fn faults_of_the_server_are_tried_again_a_few_times() {
    let fault = || vec![done_with(Status::unavailable("the worker died"))];
    let fixture = Fixture::new([fault(), vec![done()]]);
    fixture.run(&job()).0.unwrap();
    let fixture = Fixture::new([fault(), fault(), fault(), vec![done()]]);
    assert!(fixture.run(&job()).0.unwrap_err().to_string().contains("the worker died"));
}

#[test]
fn patience_ends() {
    let gone = || vec![Step::Fail(Status::unavailable("gone"))];
    let fixture = Fixture::with_patience([gone(), gone()], Duration::ZERO);
    let error = fixture.run(&job()).0.unwrap_err();
    assert!(matches!(&error, ClientError::Lost { .. }) && error.to_string().contains("gone"), "{error}");
}

#[test]
fn what_is_cancelled_is_cancelled_on_the_server_too() {
    let fixture = Fixture::new([
        vec![Step::Is(Stage::Executing), Step::Hang],
        vec![Step::Is(Stage::Executing), done_with(Status::cancelled(""))],
    ]);
    let cancelled = CancellationToken::new();
    let finished = fixture.client.run(&job(), false, &cancelled, |event| {
        if event == JobEvent::Executing {
            cancelled.cancel();
        }
    });
    assert!(matches!(finished, Err(ClientError::Cancelled)), "{finished:?}");
    assert_eq!(fixture.calls()[1..], ["execute", "cancel operations/1", "wait for operations/1"]);
}

#[test]
fn output_comes_once_whether_it_is_streamed_or_not() {
    let text = "one\ntwo\nthree\n";
    for streamed in [None, Some("one\n"), Some(text)] {
        let result = ActionResult { stderr_raw: text.into(), exit_code: 3, ..ActionResult::default() };
        let response = ExecuteResponse { result: Some(result), ..ExecuteResponse::default() };
        let fixture = Fixture::new([vec![Step::Is(Stage::Executing), Step::Done(Box::new(response))]]);
        fixture.scripted.0.lock().stderr = streamed.map(Into::into);
        let (finished, events) = fixture.run(&job());
        let finished = finished.unwrap();
        assert_eq!((finished.exit_code, &finished.stderr_tail[..]), (3, text.as_bytes()));
        let shown: String = events.iter().filter_map(|event| event.strip_prefix("stderr ")).collect();
        assert_eq!(shown, text, "{streamed:?}");
    }
}

#[test]
fn outputs_arrive_with_their_digests_checked() {
    let fixture = Fixture::new([]);
    let file = OutputFile { path: "out/a".into(), digest: fixture.put(b"bytes"), ..OutputFile::default() };
    let known = ActionResult { output_files: vec![file], ..ActionResult::default() };
    fixture.scripted.0.lock().known = Some(known);
    let finished = fixture.run(&job()).0.unwrap();
    let place = fixture.directory.path().join("a");
    fixture.client.download(&finished.outputs[0], &place).unwrap();
    assert_eq!(fs_err::read(&place).unwrap(), b"bytes");
    // Between the two, the server may lose it.
    let digest = DigestFunction::Sha256.digest(b"bytes");
    let blob = fixture.directory.path().join("store/cas").join(&digest.hex()[..2]).join(digest.hex());
    fs_err::remove_file(blob).unwrap();
    let error = fixture.client.download(&finished.outputs[0], &place).unwrap_err();
    assert!(matches!(error, ClientError::OutputGone { .. }), "{error}");
    assert!(matches!(fixture.store.read(&digest), Err(StoreError::NotFound(_))));
}
