//! Requests and responses as bytes: what is sent in quantity is read and written without a message struct and
//! without a copy in between. Knows nothing of what is asked for.
//!
//! The generated servers decode a request into structs with a heap string per digest, and answer what they cannot
//! decode with INTERNAL. Here a service gets the bytes of a request, reads the fields it wants, and says which field
//! of which message was wrong.

pub(super) mod call;
pub(super) mod digests;
pub(super) mod fields;

pub(crate) use call::{
    Frame, blocking, client_streaming, decode, method, server_streaming, single, single_request, streamed,
    unary, unimplemented,
};
pub(crate) use digests::{WireDigest, put_digest, request_function};
pub(crate) use fields::{Fields, Malformed, Value, put_bytes, put_varint, put_varint_field, varint_length};

/// The largest request message that is read, in bytes. Batches may be much smaller (see
/// [`MAX_BATCH_BYTES`](crate::server::storage::settings::MAX_BATCH_BYTES)); a list of digests may need this much.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;
