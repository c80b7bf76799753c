//! A store that is reached through the Remote Execution API, behind the same traits as the one on disk. Knows
//! nothing of how the connection comes about.
//!
//! All calls block on a runtime that belongs to somebody else, so they must not be made on its own threads. What
//! fails for a moment is tried again for a while: every call may be repeated. Whole blobs are hashed before they
//! are given on; of a part of one, no more than its length can be known.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tonic::{Code, Request, Response, Status};

use super::reader::RemoteReader;
use crate::cas::error::StoreError;
use crate::cas::traits::BlobStore;
use crate::digest::{Digest, DigestFunction};
use crate::reapi::bytestream::byte_stream_client::ByteStreamClient;
use crate::reapi::compressor;
use crate::reapi::content_addressable_storage_client::ContentAddressableStorageClient;
use crate::reapi::{CacheCapabilities, ServerCapabilities};
use crate::remote::{Backoff, LARGEST_MESSAGE, RemoteChannel, describe, is_transient};

/// How long one question may take.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long failures that may pass are put up with.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes in a batch where the server names no limit, and at most: messages of 4 MiB are what gRPC allows by default.
const BATCH_BYTES: usize = (4 << 20) - (64 << 10);
/// Smaller blobs are not worth compressing.
pub(super) const COMPRESS_FROM: u64 = 1 << 10;
/// Fast, as networks are.
pub(super) const ZSTD_LEVEL: i32 = 1;

/// A remote store. Clones share their connection.
#[derive(Debug, Clone)]
pub struct RemoteStore {
    pub(super) link: Arc<Link>,
}

/// The connection and what is known of the other end.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) runtime: Handle,
    pub(super) channel: RemoteChannel,
    pub(super) instance_name: String,
    pub(super) limits: Limits,
    pub(super) patience: Duration,
}

/// What the server can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) batch_bytes: usize,
    /// Streams may be compressed, and so may be what it answers in a batch.
    pub(super) zstd: bool,
    /// It takes compressed blobs in a batch.
    pub(super) zstd_batch_update: bool,
}

impl RemoteStore {
    /// The store at the other end of `channel`, which must belong to `runtime`, with what the server said that it
    /// can (REAPI `GetCapabilities`).
    pub fn new(
        runtime: Handle,
        channel: RemoteChannel,
        instance_name: &str,
        capabilities: &ServerCapabilities,
    ) -> Self {
        let limits = capabilities.cache_capabilities.as_ref().map_or_else(Limits::default, Limits::new);
        let instance_name = instance_name.to_owned();
        Self { link: Arc::new(Link { runtime, channel, instance_name, limits, patience: PATIENCE }) }
    }

    /// As it is, but for how long it goes on to try what fails for a moment (30 s).
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        let Link { runtime, channel, instance_name, limits, .. } = &*self.link;
        let (runtime, channel, instance_name) = (runtime.clone(), channel.clone(), instance_name.clone());
        Self { link: Arc::new(Link { runtime, channel, instance_name, limits: *limits, patience }) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { batch_bytes: BATCH_BYTES, zstd: false, zstd_batch_update: false }
    }
}

impl Limits {
    fn new(capabilities: &CacheCapabilities) -> Self {
        let zstd = compressor::Value::Zstd as i32;
        let batch_bytes = match usize::try_from(capabilities.max_batch_total_size_bytes) {
            Ok(0) | Err(_) => BATCH_BYTES,
            Ok(bytes) => bytes.min(BATCH_BYTES),
        };
        Self {
            batch_bytes,
            zstd: capabilities.supported_compressors.contains(&zstd),
            zstd_batch_update: capabilities.supported_batch_update_compressors.contains(&zstd),
        }
    }
}

impl BlobStore for RemoteStore {
    fn find_missing(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        self.link.find_missing(digests)
    }

    fn read(&self, digest: &Digest) -> Result<Bytes, StoreError> {
        self.read_many(&[*digest]).pop().unwrap_or(Err(StoreError::NotFound(*digest)))
    }

    fn read_many(&self, digests: &[Digest]) -> Vec<Result<Bytes, StoreError>> {
        self.link.read_many(digests)
    }

    fn open(&self, digest: &Digest, offset: u64) -> Result<Box<dyn Read + Send>, StoreError> {
        Ok(Box::new(RemoteReader::open(Arc::clone(&self.link), digest, offset)?))
    }

    fn write_many(&self, blobs: &[(Digest, Bytes)]) -> Vec<Result<(), StoreError>> {
        self.link.write_many(blobs)
    }

    fn write_from(&self, digest: &Digest, source: &mut dyn Read) -> Result<(), StoreError> {
        self.link.write_stream(digest, source)
    }

    fn write_reopening<'a>(
        &self,
        digest: &Digest,
        open: &mut dyn FnMut() -> io::Result<Box<dyn Read + 'a>>,
    ) -> Result<(), StoreError> {
        self.link.write_reopening(digest, open)
    }
}

impl Link {
    pub(super) fn cas(&self) -> ContentAddressableStorageClient<RemoteChannel> {
        ContentAddressableStorageClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    pub(super) fn streams(&self) -> ByteStreamClient<RemoteChannel> {
        ByteStreamClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// Asks until there is an answer, or an error that will not pass, or patience ends.
    pub(super) async fn ask<T, R, F>(&self, message: T, ask: impl Fn(Request<T>) -> F) -> Result<R, Status>
    where
        T: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let mut backoff = Backoff::new(self.patience);
        loop {
            let mut request = Request::new(message.clone());
            request.set_timeout(DEADLINE);
            let status = match ask(request).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => status,
            };
            match may_pass(&status).then(|| backoff.pause()).flatten() {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(status),
            }
        }
    }

    /// The name of a blob for `ByteStream`, without what comes before `blobs`.
    pub(super) fn blob_name(&self, digest: &Digest, compressed: bool) -> String {
        let blobs = if compressed { "compressed-blobs/zstd" } else { "blobs" };
        match digest.function {
            DigestFunction::Sha256 => format!("{blobs}/{digest}"),
            other => format!("{blobs}/{}/{digest}", other.name()),
        }
    }

    /// `name` in our instance.
    pub(super) fn in_instance(&self, name: &str) -> String {
        if self.instance_name.is_empty() { name.to_owned() } else { format!("{}/{name}", self.instance_name) }
    }

    pub(super) fn compresses(&self, digest: &Digest) -> bool {
        self.limits.zstd && digest.size_bytes >= COMPRESS_FROM
    }
}

/// Whether the same question may get a better answer later. All of ours may be asked twice.
pub(super) fn may_pass(status: &Status) -> bool {
    is_transient(status) || status.code() == Code::DeadlineExceeded
}

/// What a server's refusal means for a blob.
pub(super) fn refused(doing: &str, digest: &Digest, status: &Status) -> StoreError {
    match status.code() {
        Code::NotFound => StoreError::NotFound(*digest),
        Code::ResourceExhausted => StoreError::NoRoom { digest: *digest, reason: message(status) },
        _ => failed(doing, status),
    }
}

pub(super) fn failed(doing: &str, status: &Status) -> StoreError {
    StoreError::Remote {
        doing: doing.to_owned(),
        message: format!("{} ({:?})", message(status), status.code()),
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
pub(super) fn read_failed(digest: &Digest, error: io::Error) -> StoreError {
    let doing = format!("read blob {digest}");
    match error.get_ref().and_then(|inner| inner.downcast_ref::<StreamFailure>()) {
        Some(StreamFailure(status)) => refused(&doing, digest, status),
        None if error.kind() == io::ErrorKind::InvalidData => StoreError::Damaged(error.to_string()),
        None => StoreError::Io { doing, source: error },
    }
}

#[cfg(test)]
mod tests;
