//! Blobs as streams of bytes, either way. Knows nothing of how actions use them.

pub(super) mod buffers;
pub(super) mod read;
pub(super) mod resource_name;
mod service;
pub(super) mod upload_sessions;
pub(super) mod write;
pub(super) mod write_stream;

pub(crate) use service::too_large;

pub use service::ByteStreamService;
