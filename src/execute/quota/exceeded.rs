//! That an action took more than it may have. Knows nothing of how that was found out.

use super::bound::Bound;
use crate::size::about;

/// A limit that an action has exceeded: which one, how much it is, whose word it is, and what the action did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Exceeded {
    /// The name of the limit, which is that of its setting.
    pub limit: &'static str,
    text: String,
}

impl Exceeded {
    /// `did` follows "the action".
    pub(in crate::execute) fn new(bound: &Bound, did: &str) -> Self {
        let Bound { name, .. } = *bound;
        let whose = if bound.asked { "of the action's platform" } else { "of the pool" };
        let text = format!("the action {did}: its limit is {bound} (`{name}` {whose})");
        Self { limit: name, text }
    }

    /// Of something that nobody can set.
    pub(in crate::execute) fn fixed(limit: &'static str, did: &str, most: &str) -> Self {
        Self { limit, text: format!("the action {did}: at most {most} are possible") }
    }

    /// For the action that took most of a disk of which too little is left.
    pub(super) fn last_room(taken: u64, min_free: u64) -> Self {
        let text = format!(
            "the action had {} on the disk of the worker, more than any other, when less than {} was left there \
             (`min-free-bytes` of the server)",
            about(taken),
            about(min_free)
        );
        Self { limit: "min-free-bytes", text }
    }

    /// Likewise, of one without inodes.
    pub(super) fn last_inodes(entries: u64) -> Self {
        let text = format!(
            "the action had {entries} files and directories on the disk of the worker, more than any other, when \
             there were hardly any inodes left"
        );
        Self { limit: "inodes", text }
    }
}
