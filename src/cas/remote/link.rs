//! The connection to a remote store, and what is known of the other end. Knows nothing of what is read or written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tonic::{Code, Request, Response, Status};

use crate::cancellation::HangUp;
use crate::digest::{Digest, DigestFunction};
use crate::reapi::CacheCapabilities;
use crate::reapi::bytestream::byte_stream_client::ByteStreamClient;
use crate::reapi::compressor;
use crate::reapi::content_addressable_storage_client::ContentAddressableStorageClient;
use crate::remote::{Backoff, LARGEST_MESSAGE, RemoteChannel, is_transient};

/// How long one question may take.
const DEADLINE: Duration = Duration::from_secs(60);
/// Bytes in a batch where the server names no limit, and at most: messages of 4 MiB are what gRPC allows by default.
const BATCH_BYTES: usize = (4 << 20) - (64 << 10);
/// Smaller blobs are not worth compressing.
pub(super) const COMPRESS_FROM: u64 = 1 << 10;
/// Fast, as networks are.
pub(super) const ZSTD_LEVEL: i32 = 1;

/// The connection and what is known of the other end.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) runtime: Handle,
    pub(super) channel: RemoteChannel,
    pub(super) instance_name: String,
    pub(super) limits: Limits,
    pub(super) patience: Duration,
    /// When nobody waits for answers any more.
    pub(super) hang_up: HangUp,
    /// Bytes in a batch that the server has taken where it had refused more, without having named a limit.
    pub(super) learned_batch_bytes: Arc<AtomicUsize>,
    /// The server has said that it does not answer `GetTree`, to whichever instance.
    pub(super) tells_no_trees: Arc<AtomicBool>,
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

impl Default for Limits {
    fn default() -> Self {
        Self { batch_bytes: BATCH_BYTES, zstd: false, zstd_batch_update: false }
    }
}

impl Limits {
    pub(super) fn new(capabilities: &CacheCapabilities) -> Self {
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

impl Link {
    pub(super) fn cas(&self) -> ContentAddressableStorageClient<RemoteChannel> {
        ContentAddressableStorageClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    pub(super) fn streams(&self) -> ByteStreamClient<RemoteChannel> {
        ByteStreamClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// Bytes in a batch, as far as is known.
    pub(super) fn batch_bytes(&self) -> usize {
        self.limits.batch_bytes.min(self.learned_batch_bytes.load(Ordering::Relaxed))
    }

    /// What `future` gives, on this thread, unless nobody wants it any more.
    pub(super) fn wait_for<F: Future>(&self, future: F) -> Result<F::Output, Status> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.hang_up.hung_up() => Err(Status::cancelled("nobody waits for it any more")),
                output = future => Ok(output),
            }
        })
    }

    /// As [`Self::wait_for`], for something of a stream, which is taken to have broken when nothing happens for long.
    pub(super) fn wait_for_next<F: Future>(&self, future: F) -> Result<F::Output, Status> {
        let silent =
            || Status::unavailable(format!("nothing has come from the server for {} s", DEADLINE.as_secs()));
        self.wait_for(async { tokio::time::timeout(DEADLINE, future).await.map_err(|_| silent()) })?
    }

    /// Lets time pass before the next attempt.
    pub(super) fn pause(&self, pause: Duration) -> Result<(), Status> {
        self.wait_for(async { tokio::time::sleep(pause).await })
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
    (is_transient(status) || status.code() == Code::DeadlineExceeded) && !is_about_size(status)
}

/// What gRPC libraries say of a message that has more bytes than is configured.
pub(super) fn is_about_size(status: &Status) -> bool {
    status.code() == Code::ResourceExhausted && status.message().contains("larger than max")
}
