//! A blob as a stream (REAPI `ByteStream.Read`) that goes on where it broke off. Knows nothing of batches.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use tonic::{Status, Streaming};

use super::failure::{StreamFailure, read_failed, refused, stream_failure, wrong_bytes};
use super::link::{Link, may_pass};
use crate::cas::error::StoreError;
use crate::digest::{Digest, Hasher};
use crate::reapi::bytestream::{ReadRequest, ReadResponse};
use crate::remote::Backoff;

/// Memory that is set aside for a blob before its first byte has come.
const TRUST: u64 = 64 << 20;

/// The bytes of a blob from some offset on. Blocks while it is read.
pub(super) struct RemoteReader {
    link: Arc<Link>,
    digest: Digest,
    /// Of the next byte.
    offset: u64,
    stream: Option<Box<dyn Read + Send>>,
    /// Of all bytes; none if the first were not asked for.
    hasher: Option<Hasher>,
    backoff: Backoff,
}

/// The bytes of one call.
struct Pieces {
    link: Arc<Link>,
    stream: Streaming<ReadResponse>,
    current: Bytes,
}

impl Link {
    /// A blob that is too large for a batch.
    pub fn read_large(self: &Arc<Self>, digest: &Digest) -> Result<Bytes, StoreError> {
        let mut reader = RemoteReader::open(Arc::clone(self), digest, 0)?;
        let mut bytes = Vec::with_capacity(usize::try_from(digest.size_bytes.min(TRUST)).unwrap_or(0));
        reader.read_to_end(&mut bytes).map_err(|error| read_failed(digest, error))?;
        Ok(bytes.into())
    }

    fn stream(self: &Arc<Self>, digest: &Digest, offset: u64) -> Result<Box<dyn Read + Send>, Status> {
        let compressed = self.compresses(digest);
        let resource_name = self.in_instance(&self.blob_name(digest, compressed));
        let read_offset = i64::try_from(offset).unwrap_or(i64::MAX);
        let request = ReadRequest { resource_name, read_offset, read_limit: 0 };
        // The first piece, too: some servers say only then that there is nothing.
        let (stream, first) = self.wait_for_next(async {
            let mut stream = self.streams().read(request).await?.into_inner();
            let first = stream.message().await?;
            Ok::<_, Status>((stream, first))
        })??;
        let current = first.map(|piece| piece.data.into()).unwrap_or_default();
        let pieces = Pieces { link: Arc::clone(self), stream, current };
        if !compressed {
            return Ok(Box::new(pieces));
        }
        match zstd::stream::read::Decoder::new(pieces) {
            Ok(decoder) => Ok(Box::new(decoder)),
            Err(error) => Err(Status::internal(format!("cannot decompress: {error}"))),
        }
    }
}

impl RemoteReader {
    pub fn open(link: Arc<Link>, digest: &Digest, offset: u64) -> Result<Self, StoreError> {
        let doing = format!("read blob {digest}");
        if offset > digest.size_bytes {
            return Err(StoreError::Io { doing, source: io::ErrorKind::InvalidInput.into() });
        }
        let hasher = (offset == 0).then(|| digest.function.hasher());
        let backoff = Backoff::new(link.patience);
        let mut reader = Self { link, digest: *digest, offset, stream: None, hasher, backoff };
        if *digest != Digest::empty(digest.function) {
            reader.connect().map_err(|status| refused(&doing, digest, &status))?;
        }
        Ok(reader)
    }

    /// Starts a call where we are.
    fn connect(&mut self) -> Result<(), Status> {
        loop {
            match self.link.stream(&self.digest, self.offset) {
                Ok(stream) => {
                    self.stream = Some(stream);
                    return Ok(());
                }
                Err(status) => self.wait_after(status)?,
            }
        }
    }

    fn wait_after(&mut self, status: Status) -> Result<(), Status> {
        match may_pass(&status).then(|| self.backoff.pause()).flatten() {
            Some(pause) => self.link.pause(pause),
            None => Err(status),
        }
    }

    /// All bytes are here: are they the right ones?
    fn check(&mut self) -> io::Result<()> {
        match self.hasher.take().map(Hasher::finish) {
            Some(actual) if actual != self.digest => {
                Err(io::Error::new(io::ErrorKind::InvalidData, wrong_bytes(&self.digest, &actual)))
            }
            _ => Ok(()),
        }
    }
}

impl Read for RemoteReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let left = self.digest.size_bytes - self.offset;
            if left == 0 {
                return self.check().map(|()| 0);
            }
            if self.stream.is_none() {
                self.connect().map_err(stream_failure)?;
            }
            let Some(stream) = &mut self.stream else { continue };
            // No more than there should be: the hash says the rest.
            let room = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            match stream.read(&mut buffer[..room]) {
                Ok(0) => {
                    self.stream = None;
                    let status = Status::unavailable("the stream ended before the blob did");
                    self.wait_after(status).map_err(stream_failure)?;
                }
                Ok(count) => {
                    self.offset += count as u64;
                    if let Some(hasher) = &mut self.hasher {
                        hasher.update(&buffer[..count]);
                    }
                    self.backoff.reset();
                    return Ok(count);
                }
                Err(error) => {
                    self.stream = None;
                    match error.downcast::<StreamFailure>() {
                        Ok(StreamFailure(status)) => self.wait_after(status).map_err(stream_failure)?,
                        Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
                    }
                }
            }
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.link.wait_for_next(self.stream.message()).flatten() {
                Ok(Some(piece)) => self.current = piece.data.into(),
                Ok(None) => return Ok(0),
                Err(status) => return Err(stream_failure(status)),
            }
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}
