//! What a worker is told of an action that it is to run. Knows nothing of what is in the action.

use std::time::{Duration, SystemTime};

use crate::digest::Digest;
use crate::execute::Work;
use crate::reapi::{Action, Command, RequestMetadata};

/// An action to run, which is still to be read, with everything its place in the queue decided.
#[derive(Debug, Clone)]
pub struct Order {
    /// REAPI `instance_name` of the request.
    pub instance_name: String,
    pub action_digest: Digest,
    /// How long it may run.
    pub timeout: Duration,
    pub queued_at: SystemTime,
    /// The name of the worker.
    pub worker: String,
    /// Who asked, for logs.
    pub request_metadata: Option<RequestMetadata>,
}

impl Order {
    /// The work, once the action and its command have been read.
    pub fn with(&self, action: Action, command: Command) -> Work {
        let Self { instance_name, action_digest, timeout, queued_at, worker, request_metadata } =
            self.clone();
        Work { instance_name, action_digest, action, command, timeout, queued_at, worker, request_metadata }
    }
}
