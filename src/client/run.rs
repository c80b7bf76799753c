//! From a job to its result, whatever happens to the connection on the way. Knows nothing of messages on the wire.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::capabilities;
use super::command_output::CommandOutput;
use super::error::ClientError;
use super::event::JobEvent;
use super::job::{Job, PreparedAction};
use super::missing::{Precondition, as_status, precondition};
use super::outputs::{self, Output};
use super::server::Server;
use super::upload;
use super::watch::{Ended, Watch};
use crate::cas::BlobStore;
use crate::digest::Digest;
use crate::reapi::{ActionResult, ExecuteResponse, RequestMetadata, ServerCapabilities, ToolDetails};
use crate::remote::{Backoff, RemoteChannel, describe, is_transient};

/// How often blobs are uploaded that the server says it lacks, before that is believed to be its own fault.
const UPLOADS: usize = 3;
/// How often a server may say that something of its own went wrong before it is believed.
const FAULTS: usize = 3;
/// Most bytes of the end of standard error that are kept at hand.
const TAIL: u64 = 64 << 10;
/// Most bytes of standard output that are read.
const LARGEST_STDOUT: u64 = 64 << 20;

/// A server that runs jobs. Can be used by many threads at a time.
pub struct Client {
    runtime: Handle,
    server: Server,
    store: Arc<dyn BlobStore>,
    invocation: String,
    patience: Duration,
}

/// What a [`Client`] is made of.
pub struct ClientSettings {
    /// What its calls run on.
    pub runtime: Handle,
    pub channel: RemoteChannel,
    /// The server's blobs.
    pub store: Arc<dyn BlobStore>,
    /// REAPI `instance_name`; empty for most servers.
    pub instance_name: String,
    /// For how long a connection that broke is tried to be had again.
    pub patience: Duration,
}

/// A job that was run, now or before.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The command's exit code; not 0 is no error of ours.
    pub exit_code: i32,
    pub stdout: Bytes,
    /// The end of its standard error.
    pub stderr_tail: Bytes,
    /// The files it made.
    pub outputs: Vec<Output>,
    /// It was run before.
    pub cached: bool,
    /// What the server has to say to a person; may be empty.
    pub message: String,
    /// As the server gave it.
    pub result: ActionResult,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Client").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Client {
    /// Asks the server what it can. The answer is returned, too: a store may need its limits.
    ///
    /// # Errors
    /// [`ClientError::Unsuitable`] if it cannot run what we send; whatever keeps it from answering.
    pub fn capabilities(
        runtime: &Handle,
        channel: &RemoteChannel,
        instance_name: &str,
    ) -> Result<ServerCapabilities, ClientError> {
        let server = Server { channel: channel.clone(), instance_name: instance_name.to_owned() };
        let capabilities = runtime.block_on(server.capabilities())?;
        capabilities::check(&capabilities)?;
        Ok(capabilities)
    }

    /// A client of a server whose capabilities will do.
    pub fn new(settings: ClientSettings) -> Self {
        let ClientSettings { runtime, channel, store, instance_name, patience } = settings;
        let server = Server { channel, instance_name };
        Self { runtime, server, store, invocation: uuid::Uuid::new_v4().to_string(), patience }
    }

    /// Runs `job`, or finds its result. `follow` hands on its standard error while it runs, where the server can,
    /// and else when it has ended.
    ///
    /// # Errors
    /// A job that has no result; a command that fails has one.
    pub fn run(
        &self,
        job: &Job,
        follow: bool,
        cancelled: &CancellationToken,
        mut on_event: impl FnMut(JobEvent<'_>),
    ) -> Result<Finished, ClientError> {
        let action = job.prepare();
        let metadata = self.metadata(job, &action.digest);
        if !job.skip_cache
            && let Some(finished) = self.known(&action, &metadata)?
        {
            return Ok(finished);
        }
        let uploaded = upload::upload_missing(&*self.store, &action.blobs)?;
        if uploaded.blobs > 0 {
            on_event(JobEvent::Uploaded(uploaded));
        }
        let mut watch = Watch::new(&self.server, action.digest, metadata, cancelled.clone());
        (watch.skip_cache, watch.follow) = (job.skip_cache, follow);
        let mut backoff = Backoff::new(self.patience);
        let mut stale = 0;
        loop {
            let response = self.execute(&action, &mut watch, &mut on_event)?;
            let shown = watch.shown;
            let finished = self.finish(response, shown, follow, &mut on_event)?;
            // A result of before whose outputs were evicted meanwhile.
            if finished.cached && !outputs::are_there(&finished.outputs, &*self.store)? {
                if stale == FAULTS {
                    return Err(ClientError::StaleResult(stale));
                }
                // The first of them is nobody's fault.
                if stale > 0 {
                    self.pause(backoff.pause().unwrap_or_default(), &watch)?;
                }
                stale += 1;
                watch.skip_cache = true;
                watch.forget();
                continue;
            }
            return Ok(finished);
        }
    }

    /// Puts an output at `place`, whole or not at all, with its digest checked.
    ///
    /// # Errors
    /// [`ClientError::OutputGone`] if the server has lost it meanwhile.
    pub fn download(&self, output: &Output, place: &Path) -> Result<(), ClientError> {
        outputs::download(output, place, &*self.store)
    }

    /// REAPI `RequestMetadata` of the calls for `job`.
    fn metadata(&self, job: &Job, action: &Digest) -> RequestMetadata {
        let tool =
            ToolDetails { tool_name: "crosswheel".into(), tool_version: env!("CARGO_PKG_VERSION").into() };
        RequestMetadata {
            tool_details: Some(tool),
            action_id: action.hex(),
            tool_invocation_id: self.invocation.clone(),
            correlated_invocations_id: self.invocation.clone(),
            action_mnemonic: job.mnemonic.clone(),
            target_id: job.target.clone(),
            configuration_id: String::new(),
        }
    }

    /// The result of an action that was run before, if all of it can still be had. A cache that fails is no
    /// reason not to run the action.
    fn known(
        &self,
        action: &PreparedAction,
        metadata: &RequestMetadata,
    ) -> Result<Option<Finished>, ClientError> {
        let known = self.runtime.block_on(self.server.action_result(&action.digest, metadata));
        let Some(result) = known.unwrap_or_default().filter(|result| result.exit_code == 0) else {
            return Ok(None);
        };
        let finished = match self.read_result(result, String::new(), true) {
            Ok(finished) => finished,
            Err(ClientError::OutputGone { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(outputs::are_there(&finished.outputs, &*self.store)?.then_some(finished))
    }

    /// Executes until there is a response whose status is OK.
    fn execute(
        &self,
        action: &PreparedAction,
        watch: &mut Watch<'_>,
        on_event: &mut dyn FnMut(JobEvent<'_>),
    ) -> Result<ExecuteResponse, ClientError> {
        let mut backoff = Backoff::new(self.patience);
        let (mut uploads, mut faults, mut forgotten) = (0, 0, 0);
        loop {
            let status = match self.runtime.block_on(watch.attempt(on_event)) {
                Ended::Cancelled => return Err(ClientError::Cancelled),
                Ended::Senseless(text) => return Err(ClientError::Answer(text)),
                Ended::Done(response) => match response.status.as_ref().filter(|status| status.code != 0) {
                    None => return Ok(*response),
                    Some(status) => {
                        watch.forget();
                        faults += 1;
                        with_message(as_status(status), &response)
                    }
                },
                Ended::Cut => Status::unavailable("the server ended the stream"),
                Ended::Unknown => {
                    forgotten += 1;
                    if forgotten == FAULTS {
                        return Err(ClientError::Forgotten(forgotten));
                    }
                    self.pause(backoff.pause().unwrap_or_default(), watch)?;
                    on_event(JobEvent::Restarted("the server does not know the execution any more"));
                    watch.forget();
                    // It may have lost more than that.
                    upload::upload_missing(&*self.store, &action.blobs)?;
                    continue;
                }
                Ended::Failed(status) => status,
            };
            if watch.got_update {
                backoff.reset();
            }
            if let Some(precondition) = precondition(&status) {
                uploads += 1;
                watch.forget();
                self.upload_again(action, &status, &precondition, uploads)?;
            } else if is_transient(&status) && faults < FAULTS {
                self.wait(&mut backoff, &status, watch, on_event)?;
            } else {
                return Err(match status.code() {
                    Code::DeadlineExceeded => ClientError::TimedOut(status.message().to_owned()),
                    Code::Cancelled => ClientError::Cancelled,
                    _ => ClientError::call("execute the action", &status),
                });
            }
        }
    }

    /// Sends what the server says it lacks.
    fn upload_again(
        &self,
        action: &PreparedAction,
        status: &Status,
        precondition: &Precondition,
        uploads: usize,
    ) -> Result<(), ClientError> {
        let ours = |digest: &&Digest| action.blobs.contains_key(*digest);
        let sent = match precondition {
            Precondition::Missing(digests) => {
                if uploads > UPLOADS || !digests.iter().all(|digest| ours(&digest)) {
                    return Err(ClientError::StillMissing(digests.iter().map(Digest::to_string).collect()));
                }
                upload::upload(&*self.store, &action.blobs, digests)?
            }
            Precondition::Unsaid => upload::upload_missing(&*self.store, &action.blobs)?,
        };
        if sent.blobs == 0 || uploads > UPLOADS {
            return Err(ClientError::call("execute the action", status));
        }
        Ok(())
    }

    /// Waits before the next attempt, or gives up.
    fn wait(
        &self,
        backoff: &mut Backoff,
        status: &Status,
        watch: &Watch<'_>,
        on_event: &mut dyn FnMut(JobEvent<'_>),
    ) -> Result<(), ClientError> {
        let reason = describe(status);
        let Some(pause) = backoff.pause() else {
            return Err(ClientError::Lost { reason, patience: self.patience });
        };
        on_event(JobEvent::Reconnecting(&reason));
        self.pause(pause, watch)
    }

    /// Waits, unless somebody wants no more of it.
    fn pause(&self, pause: Duration, watch: &Watch<'_>) -> Result<(), ClientError> {
        let cancelled = watch.cancelled.cancelled();
        match self.runtime.block_on(async { tokio::time::timeout(pause, cancelled).await }) {
            Ok(()) => Err(ClientError::Cancelled),
            Err(_) => Ok(()),
        }
    }

    /// Reads what the response leads to; hands on what of standard error was not yet.
    fn finish(
        &self,
        response: ExecuteResponse,
        shown: u64,
        follow: bool,
        on_event: &mut dyn FnMut(JobEvent<'_>),
    ) -> Result<Finished, ClientError> {
        let result = response
            .result
            .ok_or_else(|| ClientError::Answer("an action was executed, and there is no result".into()))?;
        if follow && !response.cached_result {
            self.hand_on(&result, shown, on_event)?;
        }
        self.read_result(result, response.message, response.cached_result)
    }

    fn hand_on(
        &self,
        result: &ActionResult,
        shown: u64,
        on_event: &mut dyn FnMut(JobEvent<'_>),
    ) -> Result<(), ClientError> {
        let mut stderr = CommandOutput::new(&result.stderr_raw, result.stderr_digest.as_ref())?
            .open(&*self.store, shown)?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match stderr.read(&mut buffer)? {
                0 => return Ok(()),
                count => on_event(JobEvent::Stderr(&buffer[..count])),
            }
        }
    }

    fn read_result(
        &self,
        result: ActionResult,
        message: String,
        cached: bool,
    ) -> Result<Finished, ClientError> {
        let store = &*self.store;
        let stdout = CommandOutput::new(&result.stdout_raw, result.stdout_digest.as_ref())?;
        if stdout.length() > LARGEST_STDOUT {
            return Err(ClientError::Answer(format!(
                "there are {} bytes of standard output",
                stdout.length()
            )));
        }
        let stdout = stdout.read(store, 0)?;
        let stderr = CommandOutput::new(&result.stderr_raw, result.stderr_digest.as_ref())?;
        let stderr_tail =
            if cached { Bytes::new() } else { stderr.read(store, stderr.length().saturating_sub(TAIL))? };
        let outputs = outputs::list(&result, store)?;
        Ok(Finished { exit_code: result.exit_code, stdout, stderr_tail, outputs, cached, message, result })
    }
}

/// The status of a response with what the response says besides.
fn with_message(status: Status, response: &ExecuteResponse) -> Status {
    if response.message.is_empty() || status.message().contains(&response.message) {
        return status;
    }
    let message = format!("{}: {}", status.message(), response.message);
    Status::with_details(status.code(), message, Bytes::copy_from_slice(status.details()))
}
