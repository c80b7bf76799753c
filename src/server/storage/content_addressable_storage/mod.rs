//! Blobs by the batch, trees and chunks. Knows nothing of disks.

pub(super) mod batch_read;
pub(super) mod batch_update;
pub(super) mod chunk_mapping;
pub(super) mod find_missing;
mod known_mappings;
mod service;
pub(super) mod tree;

pub(crate) use known_mappings::chunking;

pub use service::ContentAddressableStorageService;
