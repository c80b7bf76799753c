//! What a scheduler hands to a slot, and what comes of it. Knows nothing of protocols and of how actions run.

use std::time::{Duration, SystemTime};

use tonic::Status;

use crate::digest::Digest;
use crate::reapi::protobuf::Any;
use crate::reapi::{Action, ExecuteResponse, RequestMetadata};

/// An action that a scheduler has handed to a slot.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// What the scheduler calls it; no two that run at a time have the same.
    pub id: String,
    /// REAPI `instance_name`, in full.
    pub instance_name: String,
    /// What is to be run, or why that cannot be told.
    pub wanted: Result<WantedAction, Status>,
    pub queued_at: SystemTime,
    /// For `ExecutedActionMetadata`.
    pub auxiliary_metadata: Vec<Any>,
    /// Who asked, for logs.
    pub request_metadata: Option<RequestMetadata>,
}

/// The action of an assignment.
#[derive(Debug, Clone)]
pub struct WantedAction {
    pub digest: Digest,
    /// If the scheduler sent it along. Otherwise it is in the store.
    pub message: Option<Action>,
}

/// An action, whoever hands it out and under whatever name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ActionKey {
    pub instance_name: String,
    pub digest: Digest,
}

impl Assignment {
    /// Which action it is, if that can be told.
    pub fn key(&self) -> Option<ActionKey> {
        let wanted = self.wanted.as_ref().ok()?;
        Some(ActionKey { instance_name: self.instance_name.clone(), digest: wanted.digest })
    }
}

/// What came of an action, as its client is to be told.
#[derive(Debug, Clone)]
pub struct Completion {
    pub response: ExecuteResponse,
    /// The action's own wish (REAPI `Action.do_not_cache`).
    pub do_not_cache: bool,
    /// From when it was begun here until it had ended.
    pub ran_for: Duration,
}

impl Completion {
    /// Whether it is good for others who ask for the same action: it ran to its end, exited with 0, and may be cached.
    pub fn is_for_all(&self) -> bool {
        let ok = self.response.status.as_ref().is_none_or(|status| status.code == 0);
        let succeeded = self.response.result.as_ref().is_some_and(|result| result.exit_code == 0);
        ok && succeeded && !self.do_not_cache
    }
}
