//! What the services that store things have in common: their settings and limits, and how the transport is best set
//! for them.

use std::time::Duration;

/// Most bytes of blobs in one batch if the operator does not say. A response with that much still fits the 4 MiB that gRPC clients
/// accept if they are not told otherwise, digests and statuses of almost two thousand blobs included.
pub const MAX_BATCH_BYTES: u64 = 4_000_000;

/// The largest message of a ByteStream write, in bytes. Clients send between 16 KiB and 4 MiB at a time.
pub(crate) const MAX_WRITE_BYTES: usize = 16 << 20;

/// HTTP/2 flow control for a server with these services, in bytes: what a client may send on one stream before it has
/// to wait for us. Large enough that a client on the same machine never waits while a piece is hashed.
pub const STREAM_WINDOW: u32 = 4 << 20;

/// The same for all streams of a connection together.
pub const CONNECTION_WINDOW: u32 = 16 << 20;

/// The largest HTTP/2 frame a client may send. Fewer and larger ones save a lot on both sides; a client that sends
/// small ones (16 KiB is the default) is not hurt.
pub const MAX_FRAME_BYTES: u32 = 1 << 20;

/// Settings of the services that store things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageSettings {
    /// Most bytes of one blob that a client may upload; no limit if `None`.
    pub max_blob_bytes: Option<u64>,
    /// Most bytes of blobs in one batch.
    pub max_batch_bytes: u64,
    /// How long what has been uploaded of a blob is kept for the client to go on, and how long a stream may send
    /// nothing before it is ended.
    pub idle_upload_timeout: Duration,
    /// Whether clients may set action results.
    pub update_action_results: bool,
}

impl Default for StorageSettings {
    fn default() -> Self {
        Self {
            max_blob_bytes: None,
            max_batch_bytes: MAX_BATCH_BYTES,
            idle_upload_timeout: Duration::from_secs(10 * 60),
            update_action_results: false,
        }
    }
}
