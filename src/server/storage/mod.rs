//! The services that keep blobs and results: byte stream, content-addressable storage, action cache.
//! Knows nothing of actions that run.

pub(super) mod action_cache;
pub(super) mod byte_stream;
pub(super) mod content_addressable_storage;
pub(super) mod settings;
mod zstandard;
