//! Requests and responses as bytes: what is sent in quantity is read and written without a message struct and
//! without a copy in between. Knows nothing of what is asked for.
//!
//! The generated servers decode a request into structs with a heap string per digest, and answer what they cannot
//! decode with INTERNAL. Here a service gets the bytes of a request, reads the fields it wants, and says which field
//! of which message was wrong.

mod call;
mod digests;
mod fields;
mod service;

pub use call::MAX_MESSAGE_BYTES;
pub(crate) use call::{
    Frame, HttpRequest, HttpResponse, blocking, client_streaming, decode, held, method, server_streaming,
    single, single_request, streamed, unary, unimplemented,
};
pub(crate) use digests::{WireDigest, put_digest, request_function};
pub(crate) use fields::{Fields, Malformed, Value, put_bytes, put_varint, put_varint_field, varint_length};
pub use service::{Served, WireService};
