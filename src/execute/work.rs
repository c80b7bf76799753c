//! One action to run, what it is told by who runs it, and what comes of it. Knows nothing of how it runs, of who
//! asked, of queues or of sockets.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::error::ExecuteError;
use super::quota::Exceeded;
use super::stage_times::{Moment, Stage, StageTimes};
use crate::cancellation::Cancellation;
use crate::digest::Digest;
use crate::reapi::{Action, ActionResult, Command, RequestMetadata};

/// Where a command sees its input root: one place for all, so that what is built does not depend on it. Its last name is
/// that of Bazel's main repository, under which Bazel itself runs actions (`…/execroot/_main`), as there are tools that
/// take the one from the other: rules_py's for venvs, up to 1.12, leaves out first-party imports under any other name,
/// and exits with 0.
pub const EXEC_ROOT: &str = "/execroot/_main";

/// One action to run, fetched and read, with everything its place in the queue decided.
#[derive(Debug, Clone)]
pub struct Work {
    /// REAPI `instance_name` of the request.
    pub instance_name: String,
    /// The digest of `action`; its function is the one of all digests in it.
    pub action_digest: Digest,
    pub action: Action,
    pub command: Command,
    /// How long the command may run: what the action asks for, within the limits of the pool.
    pub timeout: Duration,
    /// When it was queued, for [`ExecutedActionMetadata`](crate::reapi::ExecutedActionMetadata).
    pub queued_at: SystemTime,
    /// The name of the worker, likewise.
    pub worker: String,
    /// Who asked, for logs.
    pub request_metadata: Option<RequestMetadata>,
}

/// One of the two streams of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputStream {
    Stdout,
    Stderr,
}

/// Is told what a running action does, on the thread that runs it: must not block for long.
pub trait Observer: Send + Sync {
    /// The action has reached this stage, at this moment.
    fn stage(&self, stage: Stage, at: Moment);
    /// The command wrote these bytes. They are in the result, too.
    fn output(&self, stream: OutputStream, bytes: &[u8]);
    /// The action has ended, however. Only who wants to know the times needs this.
    fn ended(&self, _times: &StageTimes) {}
}

/// How an action ended that ran.
#[derive(Debug, Clone)]
pub struct Executed {
    /// Complete, with metadata; outputs are in the store. Of an action that timed out, what there was.
    pub result: ActionResult,
    /// The command was killed because its time was over.
    pub timed_out: bool,
    /// The command was killed for having taken more than it may have, or its outputs are more than that and were not
    /// kept.
    pub exceeded: Option<Exceeded>,
    /// For the person who waits (REAPI `ExecuteResponse.message`); may be empty.
    pub message: String,
}

impl Executed {
    /// Whether the result may be given to others: it ran to its end and exited with 0. (Whether the action
    /// wants to be cached is another question.)
    pub fn is_cacheable(&self) -> bool {
        !self.timed_out && self.exceeded.is_none() && self.result.exit_code == 0
    }
}

/// Something that runs actions. Calls block until the action has ended and none of its processes is left.
pub trait Execute: Send + Sync {
    /// Runs `work`.
    ///
    /// # Errors
    /// An action that could not be run, or not to its end; a command that fails is no error.
    fn execute(
        &self,
        work: &Work,
        observer: &dyn Observer,
        cancellation: &Cancellation,
    ) -> Result<Executed, ExecuteError>;
}

impl<E: Execute + ?Sized> Execute for Arc<E> {
    fn execute(
        &self,
        work: &Work,
        observer: &dyn Observer,
        cancellation: &Cancellation,
    ) -> Result<Executed, ExecuteError> {
        (**self).execute(work, observer, cancellation)
    }
}
