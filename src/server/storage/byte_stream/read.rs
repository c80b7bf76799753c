//! `Read`: from the page cache into the buffer that goes to the socket.
//!
//! What is in memory is read where the call runs (`RWF_NOWAIT`: the kernel refuses rather than waits for a disk), as
//! that takes about as long as having another thread do it; only what is not goes there. tonic's encoder is left out
//! because it would copy every byte once more.

use std::io::IoSliceMut;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::HeaderMap;
use prost::encoding::{encode_varint, encoded_len_varint};
use rustix::io::ReadWriteFlags;
use tonic::Status;
use tonic::body::Body;

use super::buffers::{Buffer, CHUNK_BYTES};
use super::resource_name::{Compressor, ReadName};
use super::service::ByteStreamService;
use crate::digest::Digest;
use crate::reapi::bytestream::ReadRequest;
use crate::server::storage::zstandard::Compression;
use crate::server::transport::wire;
use crate::server::transport::wire::{Fields, Frame, Malformed};
use crate::status;

/// A `google.bytestream.ReadRequest`.
#[derive(Default)]
struct Request {
    resource_name: String,
    read_offset: i64,
    read_limit: i64,
}

impl ByteStreamService {
    pub(crate) async fn read(&self, request: http::Request<Body>) -> Result<http::Response<Body>, Status> {
        let headers = request.headers().clone();
        let request = Request::read(&wire::single_request(request).await?)?;
        super::service::check_header(&headers, &request.resource_name)?;
        if let Some(log) = self.logs.as_ref().and_then(|logs| logs.read(&request.message())) {
            let messages = log?.map(|response| Ok(framed(&response?.data)));
            return Ok(wire::streamed(with_trailers(messages)));
        }
        let name = ReadName::parse(&request.resource_name)
            .map_err(|error| status::invalid("resource_name", error.to_string()))?;
        let range = range(&request, &name)?;
        let file = if name.digest.size_bytes == 0 {
            None
        } else {
            let (store, digest) = (Arc::clone(&self.store), name.digest);
            Some(wire::blocking(move || Ok(store.file(&digest)?)).await?)
        };
        let Some(file) = file else {
            return empty(&name);
        };
        let blob = Rest { file: Arc::new(file), digest: name.digest, range };
        Ok(match name.compressor {
            Compressor::Identity => wire::streamed(with_trailers(identity(blob))),
            Compressor::Zstd => wire::streamed(with_trailers(zstd(blob)?)),
        })
    }
}

impl Request {
    fn message(&self) -> ReadRequest {
        let Self { read_offset, read_limit, .. } = *self;
        ReadRequest { resource_name: self.resource_name.clone(), read_offset, read_limit }
    }

    fn read(request: &[u8]) -> Result<Self, Status> {
        let mut read = Self::default();
        let mut take = || -> Result<(), Malformed> {
            for field in Fields::of(request) {
                match field? {
                    (1, value) => value.text()?.clone_into(&mut read.resource_name),
                    (2, value) => read.read_offset = value.int64()?,
                    (3, value) => read.read_limit = value.int64()?,
                    _ => {}
                }
            }
            Ok(())
        };
        take().map_err(|problem| status::invalid("ReadRequest", problem.to_string()))?;
        Ok(read)
    }
}

/// Which bytes of the blob are wanted.
fn range(request: &Request, name: &ReadName) -> Result<std::ops::Range<u64>, Status> {
    let size = name.digest.size_bytes;
    let start = u64::try_from(request.read_offset).ok().filter(|start| *start <= size).ok_or_else(|| {
        Status::out_of_range(format!(
            "read_offset {} is not in the blob, which has {size} bytes",
            request.read_offset
        ))
    })?;
    let limit = u64::try_from(request.read_limit)
        .map_err(|_| status::invalid("read_limit", format!("{} is negative", request.read_limit)))?;
    match (limit, name.compressor) {
        (0, _) => Ok(start..size),
        (limit, Compressor::Identity) => Ok(start..size.min(start.saturating_add(limit))),
        (_, Compressor::Zstd) => Err(status::invalid("read_limit", "must be 0 for compressed blobs")),
    }
}

/// What is still to be sent of a blob.
struct Rest {
    file: Arc<fs_err::File>,
    digest: Digest,
    range: std::ops::Range<u64>,
}

fn identity(blob: Rest) -> impl Stream<Item = Result<Bytes, Status>> + Send + 'static {
    stream::unfold(Some(blob), |blob| async {
        let mut blob = blob.filter(|blob| !blob.range.is_empty())?;
        let count = blob.next_count();
        let mut buffer = Buffer::take();
        let header = put_header(count, buffer.bytes_mut());
        match blob.fill(buffer, header..header + count).await {
            Ok(buffer) => {
                blob.range.start += count as u64;
                Some((Ok(buffer.freeze(header + count)), Some(blob)))
            }
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// Compresses on other threads, as it takes much longer than reading.
fn zstd(blob: Rest) -> Result<impl Stream<Item = Result<Bytes, Status>> + Send + 'static, Status> {
    let compression = Compression::new(blob.range.end - blob.range.start)?;
    Ok(stream::unfold(Some((blob, compression)), |state| async {
        let (mut blob, mut compression) = state?;
        let piece = wire::blocking(move || {
            let mut message = Vec::with_capacity(CHUNK_BYTES);
            // Some pieces become nothing yet.
            loop {
                let count = blob.next_count();
                let mut buffer = Buffer::take();
                let piece = &mut buffer.bytes_mut()[..count];
                blob.file
                    .file()
                    .read_exact_at(piece, blob.range.start)
                    .map_err(|error| blob.unreadable(&error))?;
                blob.range.start += count as u64;
                let is_last = blob.range.is_empty();
                compression.write(piece, is_last, &mut message)?;
                if is_last || message.len() >= CHUNK_BYTES / 4 {
                    return Ok((message, (!is_last).then_some((blob, compression))));
                }
            }
        });
        match piece.await {
            Ok((message, rest)) => Some((Ok(framed(&message)), rest)),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

impl Rest {
    fn next_count(&self) -> usize {
        usize::try_from(self.range.end - self.range.start).map_or(CHUNK_BYTES, |rest| rest.min(CHUNK_BYTES))
    }

    /// Reads the next bytes into a part of the buffer.
    async fn fill(&self, mut buffer: Buffer, mut part: std::ops::Range<usize>) -> Result<Buffer, Status> {
        let mut offset = self.range.start;
        let mut into = [IoSliceMut::new(&mut buffer.bytes_mut()[part.clone()])];
        // Short if not all of it is in memory; an error if nothing is, or the file system knows nothing of this.
        if let Ok(count) = rustix::io::preadv2(&*self.file, &mut into, offset, ReadWriteFlags::NOWAIT) {
            part.start += count;
            offset += count as u64;
        }
        if part.is_empty() {
            return Ok(buffer);
        }
        let file = Arc::clone(&self.file);
        let (buffer, outcome) = wire::blocking(move || {
            let outcome = file.file().read_exact_at(&mut buffer.bytes_mut()[part], offset);
            Ok((buffer, outcome))
        })
        .await?;
        outcome.map_err(|error| self.unreadable(&error))?;
        Ok(buffer)
    }

    fn unreadable(&self, error: &std::io::Error) -> Status {
        Status::data_loss(format!("cannot read blob {}: {error}", self.digest))
    }
}

/// The empty blob, which is always there, in either form.
fn empty(name: &ReadName) -> Result<http::Response<Body>, Status> {
    if name.digest != Digest::empty(name.digest.function) {
        return Err(crate::cas::StoreError::NotFound(name.digest).into());
    }
    let messages = match name.compressor {
        Compressor::Identity => Vec::new(),
        Compressor::Zstd => {
            let mut message = Vec::new();
            Compression::new(0)?.write(&[], true, &mut message)?;
            vec![Ok(framed(&message))]
        }
    };
    Ok(wire::streamed(with_trailers(stream::iter(messages))))
}

/// Ends a stream of messages as gRPC wants it.
fn with_trailers<S>(messages: S) -> impl Stream<Item = Result<Frame, Status>> + Send + 'static
where
    S: Stream<Item = Result<Bytes, Status>> + Send + 'static,
{
    let messages = messages.map(Some).chain(stream::iter([None]));
    messages.scan(false, |ended, message| {
        let frame = match message {
            _ if *ended => None,
            Some(Ok(message)) => Some(Ok(Frame::data(message))),
            Some(Err(error)) => {
                *ended = true;
                Some(trailers(&error))
            }
            None => Some(trailers(&Status::ok(""))),
        };
        std::future::ready(frame)
    })
}

fn trailers(status: &Status) -> Result<Frame, Status> {
    let mut headers = HeaderMap::new();
    status.add_header(&mut headers)?;
    Ok(Frame::trailers(headers))
}

/// Writes what goes before `count` bytes of data: the header of the gRPC message, and the key and length of
/// `ReadResponse.data`. Returns how much that is.
fn put_header(count: usize, buffer: &mut [u8]) -> usize {
    let field = 1 + encoded_len_varint(count as u64);
    let length = u32::try_from(field + count).expect("a message is a few hundred KiB");
    buffer[0] = 0;
    buffer[1..5].copy_from_slice(&length.to_be_bytes());
    let mut rest = &mut buffer[5..5 + field];
    encode_varint(10 << 3 | 2, &mut rest);
    encode_varint(count as u64, &mut rest);
    5 + field
}

fn framed(data: &[u8]) -> Bytes {
    let mut message = vec![0; 16];
    let header = put_header(data.len(), &mut message);
    message.truncate(header);
    message.extend_from_slice(data);
    message.into()
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::reapi::bytestream::ReadResponse;

    #[test]
    fn a_message_is_framed_as_others_do() {
        for count in [0, 1, 127, 128, 70_000] {
            let data = vec![7; count];
            let framed = framed(&data);
            let message = ReadResponse::decode(&framed[5..]).unwrap();
            assert_eq!(message.data, data);
            assert_eq!(
                framed[..5],
                [&[0][..], &u32::try_from(framed.len() - 5).unwrap().to_be_bytes()].concat()
            );
        }
    }
}
