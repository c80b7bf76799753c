//! A blob from a stream (REAPI `ByteStream.Write`), which goes on where it broke off as far as the bytes are still
//! at hand. What is compressed starts again: servers say how much of the blob they have, not how much of what was
//! sent. Knows nothing of batches.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, Read};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::failure::{failed, refused};
use super::link::{Link, ZSTD_LEVEL, may_pass};
use crate::cas::error::StoreError;
use crate::digest::{Digest, Hasher};
use crate::reapi::bytestream::{QueryWriteStatusRequest, WriteRequest};
use crate::remote::Backoff;

/// Bytes in a message.
const PIECE: usize = 512 << 10;
/// Messages that wait to be sent.
const AHEAD: usize = 4;
/// Bytes that are kept after they were sent, in case the server lost them.
const KEPT: usize = 32 << 20;

/// Reads a source and hashes it; at its end, bytes that are not the digest's are an error.
struct Checked<'a> {
    source: &'a mut dyn Read,
    expected: Digest,
    hasher: Hasher,
    /// Where to say what the digest is, if it is another.
    mismatch: &'a Cell<Option<Digest>>,
}

/// What has been read from the body, as far as it is kept.
#[derive(Default)]
struct Sent {
    /// Where `pieces` start in the body.
    start: u64,
    pieces: VecDeque<Bytes>,
    kept: usize,
    /// There is nothing left to read.
    complete: bool,
}

/// Why a call did not end well.
enum Failure {
    Source(io::Error),
    Call(Status),
    /// As `Call`, but it may go well with a source that is read from its start.
    Lost(Status),
}

impl Link {
    pub fn write_stream(&self, digest: &Digest, source: &mut dyn Read) -> Result<(), StoreError> {
        let mismatch = Cell::new(None);
        self.write_once(digest, source, &mismatch).map_err(|failure| failed_write(digest, &mismatch, failure))
    }

    /// Starts all over, as often as patience allows, where the server has lost more than is still at hand.
    pub fn write_reopening<'a>(
        &self,
        digest: &Digest,
        open: &mut dyn FnMut() -> io::Result<Box<dyn Read + 'a>>,
    ) -> Result<(), StoreError> {
        let mut backoff = Backoff::new(self.patience);
        loop {
            let mismatch = Cell::new(None);
            let written = open()
                .map_err(Failure::Source)
                .and_then(|mut source| self.write_once(digest, &mut *source, &mismatch));
            match written {
                Ok(()) => return Ok(()),
                Err(Failure::Lost(_)) if let Some(pause) = backoff.pause() => {
                    self.pause(pause)
                        .map_err(|status| failed_write(digest, &mismatch, Failure::Call(status)))?;
                }
                Err(failure) => return Err(failed_write(digest, &mismatch, failure)),
            }
        }
    }

    fn write_once(
        &self,
        digest: &Digest,
        source: &mut dyn Read,
        mismatch: &Cell<Option<Digest>>,
    ) -> Result<(), Failure> {
        let mut checked = Checked { source, expected: *digest, hasher: digest.function.hasher(), mismatch };
        if digest.size_bytes == 0 {
            // There already, wherever.
            io::copy(&mut checked, &mut io::sink()).map(drop).map_err(Failure::Source)
        } else if self.compresses(digest) {
            let mut encoder =
                zstd::stream::read::Encoder::new(checked, ZSTD_LEVEL).map_err(Failure::Source)?;
            self.send(digest, true, &mut encoder)
        } else {
            self.send(digest, false, &mut checked)
        }
    }

    fn send(&self, digest: &Digest, compressed: bool, body: &mut dyn Read) -> Result<(), Failure> {
        let mut name = self.upload_name(digest, compressed);
        let mut sent = Sent::default();
        let mut offset = 0;
        let mut furthest = 0;
        let mut backoff = Backoff::new(self.patience);
        loop {
            let status = match self.send_from(&name, offset, &mut sent, body) {
                Ok(committed) if is_all(committed, digest, &sent) => return Ok(()),
                Ok(committed) => {
                    let end = sent.end();
                    Status::unavailable(format!("the server has taken {committed} of {end} bytes"))
                }
                Err(Failure::Call(status)) => status,
                Err(source) => return Err(source),
            };
            match may_pass(&status).then(|| backoff.pause()).flatten() {
                Some(pause) => self.pause(pause).map_err(Failure::Call)?,
                None => return Err(Failure::Call(status)),
            }
            let committed = self.committed(&name);
            match committed {
                Some((_, true)) => return Ok(()),
                Some((committed, false)) if committed > furthest => {
                    furthest = committed;
                    backoff.reset();
                }
                _ => {}
            }
            offset = match committed {
                // It counts bytes of the blob, and nobody knows which of those that we have sent they come from.
                _ if compressed => 0,
                Some((committed, _)) => committed.min(sent.end()),
                None => 0,
            };
            if offset < sent.start {
                return Err(Failure::Lost(status));
            }
            if offset == 0 {
                name = self.upload_name(digest, compressed);
            }
        }
    }

    fn upload_name(&self, digest: &Digest, compressed: bool) -> String {
        let upload = uuid::Uuid::new_v4();
        self.in_instance(&format!("uploads/{upload}/{}", self.blob_name(digest, compressed)))
    }

    /// How many bytes the server has of an upload, and whether it is complete.
    fn committed(&self, name: &str) -> Option<(u64, bool)> {
        let message = QueryWriteStatusRequest { resource_name: name.to_owned() };
        let asking = self.ask(message, |request| async { self.streams().query_write_status(request).await });
        let answer = self.wait_for(asking).flatten().ok()?;
        Some((u64::try_from(answer.committed_size).ok()?, answer.complete))
    }

    /// One call: what was read already from `offset` on, and then what the body still has. Returns what the server
    /// says that it has, which may be all before we are at the end.
    fn send_from(
        &self,
        name: &str,
        offset: u64,
        sent: &mut Sent,
        body: &mut dyn Read,
    ) -> Result<i64, Failure> {
        let (requests, receiver) = mpsc::channel(AHEAD);
        let mut client = self.streams();
        let call = self.runtime.spawn(async move { client.write(ReceiverStream::new(receiver)).await });
        let mut resource_name = name.to_owned();
        let mut request = |offset: u64, data: &Bytes, finish_write| WriteRequest {
            resource_name: std::mem::take(&mut resource_name),
            write_offset: i64::try_from(offset).unwrap_or(i64::MAX),
            finish_write,
            data: data.to_vec(),
        };
        let call = AbortOnDrop(call);
        // Whether the other end still takes anything: if it does not, it has answered.
        let send = |request: WriteRequest| {
            let sent = self.wait_for_next(requests.send(request)).map_err(Failure::Call)?;
            Ok::<_, Failure>(sent.is_ok())
        };
        let mut open = true;
        let mut at = offset;
        for piece in sent.from(offset) {
            open = open && send(request(at, &piece, false))?;
            at += piece.len() as u64;
        }
        while open && !sent.complete {
            match sent.read(body) {
                Ok(piece) if piece.is_empty() => {}
                Ok(piece) => {
                    open = send(request(at, &piece, false))?;
                    at += piece.len() as u64;
                }
                Err(error) => return Err(Failure::Source(error)),
            }
        }
        if open {
            send(request(at, &Bytes::new(), true))?;
        }
        drop(requests);
        let mut call = call;
        match self.wait_for_next(&mut call.0).map_err(Failure::Call)? {
            Ok(Ok(answer)) => Ok(answer.into_inner().committed_size),
            Ok(Err(status)) => Err(Failure::Call(status)),
            Err(error) => Err(Failure::Call(Status::internal(error.to_string()))),
        }
    }
}

/// A call that must not go on without us: the server would take what it has for whole.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn failed_write(digest: &Digest, mismatch: &Cell<Option<Digest>>, failure: Failure) -> StoreError {
    match failure {
        Failure::Source(_) if let Some(actual) = mismatch.get() => {
            StoreError::Mismatch { expected: *digest, actual }
        }
        Failure::Source(source) => StoreError::Io { doing: "read what is to be stored".into(), source },
        Failure::Call(status) | Failure::Lost(status) if status.code() == Code::NotFound => {
            failed(&format!("take blob {digest}"), &status)
        }
        Failure::Call(status) | Failure::Lost(status) => {
            refused(&format!("take blob {digest}"), digest, &status)
        }
    }
}

/// Whether what the server has is the blob: counted in bytes of the blob or of what was sent, or -1 for a
/// compressed blob that was there already (REAPI `ByteStream.Write`).
fn is_all(committed: i64, digest: &Digest, sent: &Sent) -> bool {
    match u64::try_from(committed) {
        Ok(committed) => committed == digest.size_bytes || sent.complete && committed == sent.end(),
        Err(_) => committed == -1,
    }
}

impl Sent {
    fn end(&self) -> u64 {
        self.start + self.kept as u64
    }

    /// The next piece of the body.
    fn read(&mut self, body: &mut dyn Read) -> io::Result<Bytes> {
        let mut piece = Vec::with_capacity(PIECE);
        body.take(PIECE as u64).read_to_end(&mut piece)?;
        self.complete = piece.len() < PIECE;
        let piece = Bytes::from(piece);
        self.kept += piece.len();
        self.pieces.push_back(piece.clone());
        while self.kept > KEPT
            && let Some(oldest) = self.pieces.pop_front()
        {
            self.start += oldest.len() as u64;
            self.kept -= oldest.len();
        }
        Ok(piece)
    }

    /// What is kept from `offset` on.
    fn from(&self, offset: u64) -> Vec<Bytes> {
        let mut skip = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let mut pieces = Vec::new();
        for piece in &self.pieces {
            let skipped = skip.min(piece.len());
            skip -= skipped;
            if skipped < piece.len() {
                pieces.push(piece.slice(skipped..));
            }
        }
        pieces
    }
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        let ended = count == 0 && !buffer.is_empty();
        if ended || self.hasher.size_bytes() > self.expected.size_bytes {
            let actual = self.hasher.clone().finish();
            if actual != self.expected {
                self.mismatch.set(Some(actual));
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok(count)
    }
}
