//! What a server's refusals and answers mean for the store that asked. Knows nothing of when it is asked again.

use std::io;

use tonic::{Code, Status};

use crate::cas::error::StoreError;
use crate::digest::Digest;
use crate::remote::describe;

/// What a server's refusal means for a blob.
pub(super) fn refused(doing: &str, digest: &Digest, status: &Status) -> StoreError {
    match status.code() {
        Code::NotFound => StoreError::NotFound(*digest),
        Code::ResourceExhausted => {
            StoreError::NoRoom { digest: *digest, reason: message(status), passes: true }
        }
        _ => failed(doing, status),
    }
}

pub(super) fn failed(doing: &str, status: &Status) -> StoreError {
    StoreError::Remote {
        doing: doing.to_owned(),
        message: format!("{} ({:?})", message(status), status.code()),
        exhausted: status.code() == Code::ResourceExhausted,
    }
}

/// A status without a message has its cause at least.
fn message(status: &Status) -> String {
    if status.message().is_empty() { describe(status) } else { status.message().to_owned() }
}

/// A status on its way through [`Read`].
#[derive(Debug, thiserror::Error)]
#[error("{}", message(.0))]
pub(super) struct StreamFailure(pub(super) Status);

pub(super) fn stream_failure(status: Status) -> io::Error {
    let kind = if status.code() == Code::NotFound { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
    io::Error::new(kind, StreamFailure(status))
}

/// What an error of a reader of ours means for its blob.
pub(in crate::cas) fn read_failed(digest: &Digest, error: io::Error) -> StoreError {
    let doing = format!("read blob {digest}");
    let inner = error.get_ref();
    if let Some(known) = inner.and_then(|inner| inner.downcast_ref::<StoreError>()) {
        return known.again();
    }
    match inner.and_then(|inner| inner.downcast_ref::<StreamFailure>()) {
        Some(StreamFailure(status)) => refused(&doing, digest, status),
        None if error.kind() == io::ErrorKind::InvalidData => StoreError::Damaged(error.to_string()),
        None => StoreError::Io { doing, source: error },
    }
}

/// The server sent bytes that are not those of their digest.
pub(super) fn wrong_bytes(expected: &Digest, actual: &Digest) -> StoreError {
    StoreError::Damaged(format!("the server sent bytes with the digest {actual} for {expected}"))
}
