//! A store that is reached through the Remote Execution API, behind the same traits as the one on disk. Knows
//! nothing of how the connection comes about.
//!
//! All calls block on a runtime that belongs to somebody else, so they must not be made on its own threads. What
//! fails for a moment is tried again for a while: every call may be repeated. Whole blobs are hashed before they
//! are given on; of a part of one, no more than its length can be known.

mod batches;
mod failure;
mod link;
mod reader;
mod results;
mod store;
#[cfg(test)]
mod test_server;
mod trees;
mod upstream;
mod writer;

pub(super) use failure::read_failed;

pub use store::RemoteStore;
pub use upstream::RemoteUpstream;
