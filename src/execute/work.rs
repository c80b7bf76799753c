//! Runs one action: input root, sandbox, outputs. Knows nothing of who asked, of queues or of sockets.
//!
//! [`Execute`] is the one trait; what runs an action and what watches over it are layers around each other, and
//! [`executor`] puts them together.
//!
//! ```text
//! Work ─► Command, checked ─► input root, read ─► room: tree + overlay ─► sandbox ─► outputs ─► Executed
//!         command.rs          input/read.rs       input/trees.rs, room.rs            outputs/
//! ```
//!
//! **What a command sees.** Its exec root at [`EXEC_ROOT`] (without namespaces: in a scratch directory), which it
//! may change as it likes without a change to any blob; the root file system of its pool, read-only; a `/tmp` of
//! its own; the environment of its `Command` and nothing else; no network unless its pool has one. Input files
//! have the modes 0444 and 0555, or what their node properties say.
//!
//! **What is refused and what is not.** Names in directories must be names, each once; their order is not
//! insisted on. Symlinks are made as they are, wherever they lead, and nobody on our side follows one out of the
//! exec root. A command that cannot be started is an action that failed (126, 127), as in a shell.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::error::ExecuteError;
use super::layers::counting::ExecuteCounters;
use super::local::LocalExecutor;
use crate::cancellation::Cancellation;
use crate::digest::Digest;
use crate::reapi::{Action, ActionResult, Command, RequestMetadata};

use super::layers::counting::Counted;
use super::layers::logging::Logged;
use super::layers::timestamps::Timestamped;

/// Where a command sees its input root.
pub const EXEC_ROOT: &str = "/execroot";

/// What a pool runs its actions with: they are run here, timed, counted and logged.
pub fn executor(local: LocalExecutor, counters: Arc<ExecuteCounters>) -> impl Execute {
    Logged(Counted { inner: Timestamped(local), counters })
}

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

/// What an action is doing (DESIGN: `fetching inputs → running → uploading outputs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    FetchingInputs,
    Running,
    UploadingOutputs,
}

/// One of the two streams of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputStream {
    Stdout,
    Stderr,
}

/// Is told what a running action does, on the thread that runs it: must not block for long.
pub trait Observer: Send + Sync {
    /// The action has reached this stage.
    fn stage(&self, stage: Stage);
    /// The command wrote these bytes. They are in the result, too.
    fn output(&self, stream: OutputStream, bytes: &[u8]);
}

/// How an action ended that ran.
#[derive(Debug, Clone)]
pub struct Executed {
    /// Complete, with metadata; outputs are in the store. Of an action that timed out, what there was.
    pub result: ActionResult,
    /// The command was killed because its time was over.
    pub timed_out: bool,
    /// For the person who waits (REAPI `ExecuteResponse.message`); may be empty.
    pub message: String,
}

impl Executed {
    /// Whether the result may be given to others: it ran to its end and exited with 0. (Whether the action
    /// wants to be cached is another question.)
    pub fn is_cacheable(&self) -> bool {
        !self.timed_out && self.result.exit_code == 0
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
