//! Blobs as streams of bytes, either way. Knows nothing of how actions use them.

mod buffers;
mod read;
mod resource_name;
mod service;
mod upload_sessions;
mod write;
mod write_stream;

pub(crate) use service::too_large;

pub use service::ByteStreamService;
