//! One attempt at an execution: asks for it, or joins it, and follows it to its end (REAPI `Execution`,
//! `google.longrunning.Operation`). Knows nothing of blobs and of what is done when the attempt fails.

use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use super::event::JobEvent;
use super::missing::as_status;
use super::server::Server;
use crate::digest::Digest;
use crate::reapi::longrunning::{CancelOperationRequest, Operation, operation};
use crate::reapi::{
    ExecuteOperationMetadata, ExecuteRequest, ExecuteResponse, ExecutionPolicy, RequestMetadata,
    WaitExecutionRequest, execution_stage::Value as Stage,
};
use crate::remote::attach;

/// After how long in the queue somebody may wonder, and how often they are told from then on.
const LONG: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_secs(60);
/// How long the rest of a stream of output is waited for once the action has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long a server may take to end what was cancelled.
const CANCEL_GRACE: Duration = Duration::from_secs(3);

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The operation is done; the response's status is another matter.
    Done(Box<ExecuteResponse>),
    /// The server refused, or the connection broke.
    Failed(Status),
    /// The stream ended before the operation did. Some servers do that after a while.
    Cut,
    /// The server no longer knows the operation.
    Unknown,
    /// We were told to stop.
    Cancelled,
    /// An answer that cannot be understood.
    Senseless(String),
}

/// An execution across attempts.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    pub server: &'a Server,
    pub action: Digest,
    pub metadata: RequestMetadata,
    pub skip_cache: bool,
    /// Hand on standard error while the command runs.
    pub follow: bool,
    pub cancelled: CancellationToken,
    /// The operation's name, once the server has told it.
    pub operation: Option<String>,
    /// Bytes of standard error that were handed on.
    pub shown: u64,
    /// Whether the last attempt brought any news.
    pub got_update: bool,
    stage: Option<Stage>,
}

impl<'a> Watch<'a> {
    pub fn new(
        server: &'a Server,
        action: Digest,
        metadata: RequestMetadata,
        cancelled: CancellationToken,
    ) -> Self {
        Self {
            server,
            action,
            metadata,
            skip_cache: false,
            follow: false,
            cancelled,
            operation: None,
            shown: 0,
            got_update: false,
            stage: None,
        }
    }

    /// The next attempt is a new execution.
    pub fn forget(&mut self) {
        (self.operation, self.shown, self.stage) = (None, 0, None);
    }

    /// Follows the execution until it, or the connection, ends.
    pub async fn attempt(&mut self, on_event: &mut dyn FnMut(JobEvent<'_>)) -> Ended {
        let cancelled = self.cancelled.clone();
        self.got_update = false;
        let ended = tokio::select! {
            biased;
            () = cancelled.cancelled() => Ended::Cancelled,
            ended = self.follow_operation(on_event) => ended,
        };
        if matches!(ended, Ended::Cancelled) {
            // A server that does not answer, or cannot cancel, is left alone.
            let _ = tokio::time::timeout(CANCEL_GRACE, self.cancel()).await;
        }
        ended
    }

    async fn follow_operation(&mut self, on_event: &mut dyn FnMut(JobEvent<'_>)) -> Ended {
        let mut operations = match self.open().await {
            Ok(operations) => operations,
            Err(status) if status.code() == Code::NotFound && self.operation.is_some() => {
                return Ended::Unknown;
            }
            Err(status) => return Ended::Failed(status),
        };
        let mut output = None;
        let mut notice = QueueNotice::new();
        loop {
            tokio::select! {
                biased;
                chunk = next_chunk(&mut output) => self.show(chunk, &mut output, on_event),
                waited = notice.due(), if self.stage == Some(Stage::Queued) => {
                    on_event(JobEvent::StillQueued(waited));
                }
                message = operations.message() => match message {
                    Ok(Some(operation)) => {
                        self.got_update = true;
                        if let Some(ended) = self.learn(operation, &mut output, on_event) {
                            self.show_rest(output, on_event).await;
                            return ended;
                        }
                    }
                    Ok(None) => return Ended::Cut,
                    Err(status) if status.code() == Code::NotFound && self.operation.is_some() => {
                        return Ended::Unknown;
                    }
                    Err(status) => return Ended::Failed(status),
                }
            }
        }
    }

    async fn open(&self) -> Result<Streaming<Operation>, Status> {
        let mut client = self.server.execution();
        let operations = match &self.operation {
            Some(name) => {
                let request = WaitExecutionRequest { name: name.clone() };
                client.wait_execution(attach(request, &self.metadata)).await?
            }
            None => {
                let request = ExecuteRequest {
                    instance_name: self.server.instance_name.clone(),
                    skip_cache_lookup: self.skip_cache,
                    action_digest: Some(self.action.to_message()),
                    execution_policy: Some(ExecutionPolicy::default()),
                    digest_function: self.action.function.to_wire(),
                    inline_stdout: true,
                    inline_stderr: true,
                    ..ExecuteRequest::default()
                };
                client.execute(attach(request, &self.metadata)).await?
            }
        };
        Ok(operations.into_inner())
    }

    /// Takes in what the server says of the operation; how it ended, if it did.
    fn learn(
        &mut self,
        operation: Operation,
        output: &mut Option<mpsc::Receiver<Bytes>>,
        on_event: &mut dyn FnMut(JobEvent<'_>),
    ) -> Option<Ended> {
        if !operation.name.is_empty() {
            self.operation = Some(operation.name);
        }
        let metadata = operation.metadata.filter(|any| any.type_url.ends_with(".ExecuteOperationMetadata"));
        let metadata = metadata.and_then(|any| ExecuteOperationMetadata::decode(&any.value[..]).ok());
        if let Some(metadata) = metadata {
            let stage = Stage::try_from(metadata.stage).unwrap_or(Stage::Unknown);
            if self.stage.replace(stage) != Some(stage) {
                match stage {
                    Stage::Queued => on_event(JobEvent::Queued),
                    Stage::Executing => on_event(JobEvent::Executing),
                    _ => {}
                }
            }
            let stream = metadata.stderr_stream_name;
            if self.follow && output.is_none() && !stream.is_empty() && !operation.done {
                *output = Some(self.server.read_stream(stream, self.shown));
            }
        }
        if !operation.done {
            return None;
        }
        Some(match operation.result {
            Some(operation::Result::Response(any)) => match ExecuteResponse::decode(&any.value[..]) {
                Ok(response) => Ended::Done(Box::new(response)),
                Err(error) => Ended::Senseless(format!("the response of the execution: {error}")),
            },
            Some(operation::Result::Error(status)) => Ended::Failed(as_status(&status)),
            None => Ended::Senseless("an operation is done without a result".into()),
        })
    }

    fn show(
        &mut self,
        chunk: Option<Bytes>,
        output: &mut Option<mpsc::Receiver<Bytes>>,
        on_event: &mut dyn FnMut(JobEvent<'_>),
    ) {
        match chunk {
            Some(chunk) => {
                self.shown += chunk.len() as u64;
                on_event(JobEvent::Stderr(&chunk));
            }
            // Over, or broken: the rest is in the result. Never asked for again in this attempt.
            None => *output = Some(mpsc::channel(1).1),
        }
    }

    async fn show_rest(
        &mut self,
        output: Option<mpsc::Receiver<Bytes>>,
        on_event: &mut dyn FnMut(JobEvent<'_>),
    ) {
        let Some(mut output) = output else { return };
        let deadline = tokio::time::Instant::now() + LAST_WORDS;
        while let Ok(Some(chunk)) = tokio::time::timeout_at(deadline, output.recv()).await {
            self.shown += chunk.len() as u64;
            on_event(JobEvent::Stderr(&chunk));
        }
    }

    /// Cancels the operation and waits until the server says that it has ended.
    async fn cancel(&self) {
        let Some(name) = &self.operation else { return };
        let request = CancelOperationRequest { name: name.clone() };
        if self.server.operations().cancel_operation(attach(request, &self.metadata)).await.is_err() {
            return;
        }
        let Ok(mut operations) = self.open().await else { return };
        while let Ok(Some(operation)) = operations.message().await {
            if operation.done {
                return;
            }
        }
    }
}

/// The next piece of output; for ever, if there is no stream, or it has ended.
async fn next_chunk(output: &mut Option<mpsc::Receiver<Bytes>>) -> Option<Bytes> {
    match output {
        Some(receiver) if !receiver.is_closed() || !receiver.is_empty() => receiver.recv().await,
        _ => std::future::pending().await,
    }
}

/// When to say that an action is still waiting for a worker.
struct QueueNotice {
    since: Instant,
    next: Instant,
}

impl QueueNotice {
    fn new() -> Self {
        let since = Instant::now();
        Self { since, next: since + LONG }
    }

    async fn due(&mut self) -> Duration {
        tokio::time::sleep_until(self.next.into()).await;
        self.next = Instant::now() + AGAIN;
        self.since.elapsed()
    }
}
