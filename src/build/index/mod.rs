//! Package indexes and the servers they live on: pages of projects, files by hash, and who may read what from whom.
//! Knows nothing of what is built from the files.

mod anchors;
pub(super) mod credentials;
pub(super) mod cutoff;
pub(super) mod download;
pub(super) mod http;
pub(super) mod simple_api;
