//! Blobs by the batch, trees and chunks. Knows nothing of disks.

mod batch_read;
mod batch_update;
mod chunk_mapping;
mod find_missing;
mod known_mappings;
mod service;
mod tree;

pub(crate) use known_mappings::chunking;

pub use service::ContentAddressableStorageService;
