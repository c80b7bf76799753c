//! The services of the Remote Execution API on a socket. Knows nothing of files and processes.

mod action_cache;
mod byte_stream;
mod capabilities;
mod content_addressable_storage;
mod malformed;
mod request_metadata;
mod status;
mod storage;
mod wire;
mod zstandard;

pub use action_cache::ActionCacheService;
pub use byte_stream::ByteStreamService;
pub use capabilities::{CapabilitiesService, CapabilitiesSettings};
pub use content_addressable_storage::ContentAddressableStorageService;
pub use malformed::{RefuseMalformed, RefusingMalformed};
pub use request_metadata::{REQUEST_METADATA_HEADER, request_metadata};
pub use storage::{CONNECTION_WINDOW, MAX_BATCH_BYTES, MAX_FRAME_BYTES, STREAM_WINDOW, StorageSettings};
pub use wire::MAX_MESSAGE_BYTES;
