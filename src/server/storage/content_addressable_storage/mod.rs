//! Blobs by the batch, trees and chunks: the REAPI `ContentAddressableStorage` service. Knows nothing of disks.

pub(super) mod batch_read;
pub(super) mod batch_update;
pub(super) mod chunk_mapping;
pub(super) mod find_missing;
mod service;
pub(super) mod tree;

pub(crate) use chunk_mapping::chunking;

pub use service::ContentAddressableStorageService;
