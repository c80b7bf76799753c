//! `Write` and `QueryWriteStatus`.
//!
//! Bytes are hashed and written on threads for that, some hundred KiB at a time, while the next ones arrive. An upload
//! whose stream breaks keeps what was written; the client asks how much that is and goes on from there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::body::Body;

use super::resource_name::{Compressor, UploadName};
use super::service::ByteStreamService;
use super::upload_sessions::{Interruption, Lease, Progress};
use super::write_stream::{WriteMessage, WriteStream};
use crate::cas::{BlobStore as _, DiskStore, StoreError};
use crate::digest::Digest;
use crate::reapi::bytestream::{QueryWriteStatusRequest, QueryWriteStatusResponse, WriteResponse};
use crate::server::storage::zstandard::Decompression;
use crate::server::transport::wire;
use crate::status;

/// Bytes that are handed over to be hashed and written at once: little enough to be in the processor's caches still,
/// much compared to what the hand-over costs.
const BATCH: usize = 512 << 10;

/// How long less than that may wait for more.
const PATIENCE: Duration = Duration::from_millis(50);

impl ByteStreamService {
    pub(crate) async fn write(&self, request: http::Request<Body>) -> Result<http::Response<Body>, Status> {
        let headers = request.headers().clone();
        let mut messages = WriteStream::new(request)?;
        let first = messages.next().await?;
        let first =
            first.ok_or_else(|| status::invalid("WriteRequest", "is missing: the stream is empty"))?;
        super::service::check_header(&headers, &first.resource_name)?;
        let name = upload_name(&first.resource_name)?;
        super::service::too_large(&name.digest, self.max_blob_bytes)?;
        let committed_size = if self.is_sound(&name.digest).await? {
            already_there(&name)
        } else if first.finish_write && first.write_offset == 0 {
            self.write_at_once(&name, first).await?
        } else {
            self.write_in_pieces(&name, first, &mut messages).await?
        };
        Ok(answer(committed_size))
    }

    /// An upload whose first message is all of it.
    async fn write_at_once(&self, name: &UploadName, message: WriteMessage) -> Result<i64, Status> {
        let committed_size = message.data.iter().map(Bytes::len).sum::<usize>();
        let (store, digest, compressor) = (Arc::clone(&self.store), name.digest, name.compressor);
        wire::blocking(move || {
            if let ([data], Compressor::Identity) = (&message.data[..], compressor) {
                return store.write(&digest, data.clone()).map_err(wrong_data);
            }
            let mut writer = Writer {
                progress: Box::<Progress>::default(),
                decompression: decompression(compressor)?,
                digest,
                store,
            };
            writer.write(&message.data)?;
            writer.finish()
        })
        .await?;
        Ok(committed_size as i64)
    }

    async fn write_in_pieces(
        &self,
        name: &UploadName,
        first: WriteMessage,
        messages: &mut WriteStream,
    ) -> Result<i64, Status> {
        let (mut lease, mut progress) = self.sessions.acquire(name).await;
        if first.write_offset == 0 {
            progress.restart();
        } else if progress.committed_bytes().cast_signed() != first.write_offset {
            return Err(status::invalid(
                "write_offset",
                format!(
                    "is {}, but {} bytes are committed (see QueryWriteStatus)",
                    first.write_offset,
                    progress.committed_bytes()
                ),
            ));
        }
        let mut incoming = Incoming::new(&first);
        let mut writing = Writing::Idle(Writer {
            progress,
            decompression: decompression(name.compressor)?,
            digest: name.digest,
            store: Arc::clone(&self.store),
        });
        let mut message = Some(first);
        let mut last_bytes = Instant::now();
        loop {
            match message.take() {
                Some(next) => {
                    let before = incoming.next_offset;
                    incoming.add(name, next)?;
                    if incoming.next_offset > before {
                        last_bytes = Instant::now();
                        lease.touch();
                    }
                }
                // The client is gone or has enough for now: what came is kept.
                None => {
                    let mut writer = writing.write(incoming.take_batch()).await?.idle().await?;
                    return Ok(incoming.committed_size(&mut writer, name.compressor));
                }
            }
            if incoming.batch_bytes >= BATCH || incoming.finished {
                if self.store.is_proven(&name.digest)? {
                    // Somebody else was faster.
                    self.sessions.forget(&lease);
                    return Ok(already_there(name));
                }
                writing = self.or_forget(&lease, writing.write(incoming.take_batch()).await)?;
            }
            if incoming.finished {
                let writer = self.or_forget(&lease, writing.idle().await)?;
                let finished = wire::blocking(move || {
                    let mut writer = writer;
                    writer.finish()
                });
                let finished = finished.await;
                self.sessions.forget(&lease);
                finished?;
                return Ok(incoming.next_offset);
            }
            // The time for which a disk kept us from asking for more is not the client's.
            let asked = Instant::now();
            message = loop {
                let patience = if incoming.batch_bytes == 0 {
                    self.sessions.idle_timeout().saturating_sub(last_bytes.elapsed())
                } else {
                    PATIENCE
                };
                tokio::select! {
                    next = messages.next() => match next {
                        Ok(next) => break next,
                        Err(broken) => {
                            writing.write(incoming.take_batch()).await?.idle().await?;
                            return Err(broken);
                        }
                    },
                    interruption = lease.interrupted() => match interruption {
                        Interruption::Superseded => {
                            writing.write(incoming.take_batch()).await?.idle().await?;
                            return Err(Status::aborted("another stream goes on with this upload"));
                        }
                        Interruption::Unwanted if self.sessions.has_stalled(asked) => {
                            self.give_up(&lease, writing).await?;
                            return Err(stalled_upload(last_bytes.elapsed()));
                        }
                        Interruption::Unwanted => {}
                    },
                    () = tokio::time::sleep(patience) => {
                        if incoming.batch_bytes == 0 {
                            // Its room in the store is for others, so what was written is not kept.
                            self.give_up(&lease, writing).await?;
                            return Err(self.idle_upload());
                        }
                        writing = self.or_forget(&lease, writing.write(incoming.take_batch()).await)?;
                    }
                }
            };
        }
    }

    pub(crate) async fn query_write_status(self, request: Bytes) -> Result<Bytes, Status> {
        let request: QueryWriteStatusRequest = wire::decode("QueryWriteStatusRequest", request)?;
        let name = upload_name(&request.resource_name)?;
        let (committed_bytes, complete) = if self.is_sound(&name.digest).await? {
            (name.digest.size_bytes, true)
        } else {
            // Of an upload that we know nothing of (any more) nothing is written: the client has to begin at 0,
            // and that is what it wants to know. Those that get NOT_FOUND here give up.
            (self.sessions.committed_bytes(&name).unwrap_or(0), false)
        };
        let response = QueryWriteStatusResponse { committed_size: committed_bytes.cast_signed(), complete };
        Ok(response.encode_to_vec().into())
    }

    /// Whether a blob need not be sent. Most are not there, or known to be what they were, and then that is a look at the
    /// index in memory; others are read, as the bytes of a broken one must not be turned away.
    async fn is_sound(&self, digest: &Digest) -> Result<bool, Status> {
        if self.store.is_proven(digest)? {
            return Ok(true);
        }
        if !self.store.contains(digest)? {
            return Ok(false);
        }
        let (store, digest) = (Arc::clone(&self.store), *digest);
        wire::blocking(move || Ok(store.find_unsound(&[digest])?.is_empty())).await
    }

    /// Forgets an upload, and what was written of it. That removes a file.
    async fn give_up(&self, lease: &Lease, writing: Writing) -> Result<(), Status> {
        self.sessions.forget(lease);
        let mut writer = writing.idle().await?;
        wire::blocking(move || {
            writer.progress.restart();
            Ok(())
        })
        .await
    }

    fn idle_upload(&self) -> Status {
        let idle = humantime::format_duration(self.sessions.idle_timeout());
        Status::deadline_exceeded(format!(
            "no bytes came for {idle}, so the upload was given up; start it again, or have the operator raise the limit \
             (upload-idle-timeout)"
        ))
    }

    /// An upload whose bytes turn out wrong is over.
    fn or_forget<T>(&self, lease: &Lease, outcome: Result<T, Status>) -> Result<T, Status> {
        if outcome.is_err() {
            self.sessions.forget(lease);
        }
        outcome
    }
}

/// Its client may start it again at once, and does.
fn stalled_upload(stalled: Duration) -> Status {
    let stalled = humantime::format_duration(Duration::from_secs(stalled.as_secs()));
    Status::aborted(format!(
        "no bytes came for {stalled}, and others needed the room in the store, so the upload was given up; start it again"
    ))
}

fn upload_name(resource_name: &str) -> Result<UploadName, Status> {
    UploadName::parse(resource_name).map_err(|error| status::invalid("resource_name", error.to_string()))
}

/// The `committed_size` for a blob that need not be sent.
fn already_there(name: &UploadName) -> i64 {
    match name.compressor {
        Compressor::Identity => name.digest.size_bytes.cast_signed(),
        Compressor::Zstd => -1,
    }
}

fn decompression(compressor: Compressor) -> Result<Option<Decompression>, Status> {
    match compressor {
        Compressor::Identity => Ok(None),
        Compressor::Zstd => Decompression::new().map(Some),
    }
}

fn answer(committed_size: i64) -> http::Response<Body> {
    let message = WriteResponse { committed_size }.encode_to_vec();
    wire::single(&message)
}

/// What has arrived of a stream.
struct Incoming {
    /// What the first message said; the name may be repeated in others.
    resource_name: String,
    /// Where the next message has to begin. For compressed blobs the API adds compressed bytes to an offset in the
    /// uncompressed blob.
    next_offset: i64,
    finished: bool,
    batch: Vec<Bytes>,
    batch_bytes: usize,
}

impl Incoming {
    fn new(first: &WriteMessage) -> Self {
        Self {
            resource_name: first.resource_name.clone(),
            next_offset: first.write_offset,
            finished: false,
            batch: Vec::new(),
            batch_bytes: 0,
        }
    }

    fn add(&mut self, name: &UploadName, message: WriteMessage) -> Result<(), Status> {
        if !message.resource_name.is_empty() && message.resource_name != self.resource_name {
            return Err(status::invalid("resource_name", "is not that of the first message"));
        }
        if message.write_offset != self.next_offset {
            return Err(status::invalid(
                "write_offset",
                format!("is {}, but {} bytes were sent before", message.write_offset, self.next_offset),
            ));
        }
        let count: usize = message.data.iter().map(Bytes::len).sum();
        self.next_offset = self.next_offset.saturating_add(count as i64);
        let size_bytes = name.digest.size_bytes.cast_signed();
        if name.compressor == Compressor::Identity && self.next_offset > size_bytes {
            return Err(status::invalid(
                "data",
                format!("has more than the {size_bytes} bytes that the resource name says"),
            ));
        }
        self.finished = message.finish_write;
        self.batch_bytes += count;
        self.batch.extend(message.data);
        Ok(())
    }

    fn take_batch(&mut self) -> Vec<Bytes> {
        self.batch_bytes = 0;
        std::mem::take(&mut self.batch)
    }

    /// Of an upload that is not finished.
    fn committed_size<P: std::ops::DerefMut<Target = Progress>>(
        &self,
        writer: &mut Writer<P>,
        compressor: Compressor,
    ) -> i64 {
        match compressor {
            Compressor::Identity => self.next_offset,
            Compressor::Zstd => writer.progress.committed_bytes().cast_signed(),
        }
    }
}

/// Takes the bytes of one stream to the upload.
struct Writer<P> {
    progress: P,
    decompression: Option<Decompression>,
    digest: Digest,
    store: Arc<DiskStore>,
}

impl<P: std::ops::DerefMut<Target = Progress>> Writer<P> {
    fn write(&mut self, batch: &[Bytes]) -> Result<(), Status> {
        for bytes in batch {
            let Self { progress, decompression, digest, store } = self;
            let mut write = |bytes: &[u8]| {
                if progress.committed_bytes() + bytes.len() as u64 > digest.size_bytes {
                    return Err(status::invalid(
                        "data",
                        format!("has more than the {} bytes that the resource name says", digest.size_bytes),
                    ));
                }
                if bytes.is_empty() { Ok(()) } else { Ok(progress.write(store, digest, bytes)?) }
            };
            match decompression {
                None => write(bytes)?,
                Some(decompression) => decompression.write(bytes, write)?,
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Status> {
        if let Some(decompression) = &self.decompression {
            decompression.finish()?;
        }
        self.progress.finish(&self.store, &self.digest).map_err(wrong_data)
    }
}

fn wrong_data(error: StoreError) -> Status {
    match error {
        StoreError::Mismatch { .. } => status::invalid("data", error.to_string()),
        other => other.into(),
    }
}

type SharedWriter = Writer<OwnedMutexGuard<Progress>>;

/// A writer that may be at work on another thread. It goes on there when the stream that it belongs to is dropped, so
/// that what was handed over is written before another stream gets the upload.
enum Writing {
    Idle(SharedWriter),
    Busy(JoinHandle<(SharedWriter, Result<(), Status>)>),
}

impl Writing {
    /// Has a batch written, once the one before is.
    async fn write(self, batch: Vec<Bytes>) -> Result<Self, Status> {
        let mut writer = self.idle().await?;
        if batch.is_empty() {
            return Ok(Self::Idle(writer));
        }
        Ok(Self::Busy(tokio::task::spawn_blocking(move || {
            let outcome = writer.write(&batch);
            (writer, outcome)
        })))
    }

    /// The writer, once all of it is written.
    async fn idle(self) -> Result<SharedWriter, Status> {
        match self {
            Self::Idle(writer) => Ok(writer),
            Self::Busy(writing) => {
                let (writer, outcome) = writing.await.map_err(|_| {
                    Status::internal("the server failed in the middle of this request; its log says why")
                })?;
                outcome.map(|()| writer)
            }
        }
    }
}
