//! The messages of a Write, read off the wire without copying their data.
//!
//! tonic gathers a message in one buffer before it decodes it. Here the data of a message stays in the pieces in which
//! HTTP/2 delivered it.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use http_body_util::BodyExt as _;
use prost::encoding::{WireType, decode_key, decode_varint};
use tonic::Status;
use tonic::body::Body;

use crate::server::storage::settings::MAX_WRITE_BYTES;
use crate::status;

/// A `google.bytestream.WriteRequest`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct WriteMessage {
    pub(crate) resource_name: String,
    pub(crate) write_offset: i64,
    pub(crate) finish_write: bool,
    pub(crate) data: Vec<Bytes>,
}

/// The stream of them.
pub(crate) struct WriteStream {
    body: Body,
    pieces: Pieces,
    ended: bool,
}

/// The length and the flag before each message (gRPC over HTTP/2).
const HEADER: usize = 5;

impl WriteStream {
    /// # Errors
    /// UNIMPLEMENTED for a client that compresses its messages: the API has compressed blobs instead.
    pub(crate) fn new(request: http::Request<Body>) -> Result<Self, Status> {
        match request.headers().get("grpc-encoding") {
            Some(encoding) if encoding != "identity" => Err(Status::unimplemented(format!(
                "ByteStream.Write takes no messages compressed as {encoding:?}; \
                 upload to compressed-blobs/zstd instead"
            ))),
            _ => Ok(Self { body: request.into_body(), pieces: Pieces::default(), ended: false }),
        }
    }

    /// The next message; `None` at the end of the stream. Nothing is lost when it is cancelled.
    pub(crate) async fn next(&mut self) -> Result<Option<WriteMessage>, Status> {
        loop {
            if let Some(message) = self.pieces.message()? {
                return read(message).map(Some);
            }
            if self.ended {
                return match self.pieces.length {
                    0 => Ok(None),
                    _ => Err(status::invalid("WriteRequest", "ends in the middle of a message")),
                };
            }
            match self.body.frame().await {
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.pieces.push(data);
                    }
                }
                None => self.ended = true,
            }
        }
    }
}

fn read(mut message: Pieces) -> Result<WriteMessage, Status> {
    let mut read = WriteMessage::default();
    while message.has_remaining() {
        message.read_field(&mut read).map_err(|error| match error {
            FieldError::Decode(error) => status::malformed("WriteRequest", &error),
            FieldError::Problem(problem) => status::invalid("WriteRequest", problem),
        })?;
    }
    Ok(read)
}

/// Bytes in pieces.
#[derive(Debug, Default)]
struct Pieces {
    pieces: VecDeque<Bytes>,
    length: usize,
}

enum FieldError {
    Decode(prost::DecodeError),
    Problem(&'static str),
}

impl From<prost::DecodeError> for FieldError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl Pieces {
    fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.length += piece.len();
            self.pieces.push_back(piece);
        }
    }

    /// Takes the first message, if it is complete.
    fn message(&mut self) -> Result<Option<Self>, Status> {
        let mut header = [0; HEADER];
        if self.length < HEADER {
            return Ok(None);
        }
        self.peek(&mut header);
        let [flag, length @ ..] = header;
        let length = u32::from_be_bytes(length) as usize;
        if flag != 0 {
            return Err(status::invalid(
                "WriteRequest",
                "is marked as compressed, but no grpc-encoding is stated",
            ));
        }
        if length > MAX_WRITE_BYTES {
            return Err(status::invalid(
                "WriteRequest",
                format!("has {length} bytes, more than the {MAX_WRITE_BYTES} that one message may have"),
            ));
        }
        if self.length < HEADER + length {
            return Ok(None);
        }
        self.advance(HEADER);
        Ok(Some(self.take(length)))
    }

    fn peek(&self, mut into: &mut [u8]) {
        for piece in &self.pieces {
            let count = piece.len().min(into.len());
            into[..count].copy_from_slice(&piece[..count]);
            into = &mut into[count..];
            if into.is_empty() {
                return;
            }
        }
    }

    fn take(&mut self, mut count: usize) -> Self {
        let mut taken = Self::default();
        self.length -= count;
        while count > 0 {
            let mut piece = self.pieces.pop_front().expect("as many bytes as `length` says");
            if piece.len() > count {
                let rest = piece.split_off(count);
                self.pieces.push_front(rest);
            }
            count -= piece.len();
            taken.push(piece);
        }
        taken
    }

    fn read_field(&mut self, into: &mut WriteMessage) -> Result<(), FieldError> {
        match decode_key(self)? {
            (1, WireType::LengthDelimited) => {
                let name = self.delimited()?.copy_to_vec();
                into.resource_name =
                    String::from_utf8(name).map_err(|_| FieldError::Problem("resource_name is not UTF-8"))?;
            }
            (2, WireType::Varint) => into.write_offset = decode_varint(self)?.cast_signed(),
            (3, WireType::Varint) => into.finish_write = decode_varint(self)? != 0,
            // The last one of a field counts.
            (10, WireType::LengthDelimited) => into.data = self.delimited()?.pieces.into(),
            (1 | 2 | 3 | 10, _) => return Err(FieldError::Problem("has a field of the wrong wire type")),
            (_, WireType::Varint) => drop(decode_varint(self)?),
            (_, WireType::LengthDelimited) => drop(self.delimited()?),
            (_, WireType::SixtyFourBit) => drop(self.exactly(8)?),
            (_, WireType::ThirtyTwoBit) => drop(self.exactly(4)?),
            (_, WireType::StartGroup | WireType::EndGroup) => {
                return Err(FieldError::Problem("has a field of an unknown wire type"));
            }
        }
        Ok(())
    }

    fn delimited(&mut self) -> Result<Self, FieldError> {
        let length = decode_varint(self)?;
        self.exactly(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn exactly(&mut self, count: usize) -> Result<Self, FieldError> {
        if count > self.length {
            return Err(FieldError::Problem("ends in the middle of a field"));
        }
        Ok(self.take(count))
    }

    fn copy_to_vec(&self) -> Vec<u8> {
        self.pieces.iter().flatten().copied().collect()
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn advance(&mut self, count: usize) {
        drop(self.take(count));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::reapi::bytestream::WriteRequest;

    fn pieces(bytes: &[u8], cut: usize) -> Pieces {
        let mut pieces = Pieces::default();
        for piece in bytes.chunks(cut) {
            pieces.push(Bytes::copy_from_slice(piece));
        }
        pieces
    }

    proptest! {
        #[test]
        fn messages_are_read_however_they_are_cut(
            resource_name: String, write_offset: i64, finish_write: bool, data: Vec<u8>, cut in 1_usize..40
        ) {
            let request = WriteRequest { resource_name, write_offset, finish_write, data };
            let encoded = request.encode_to_vec();
            let length = u32::try_from(encoded.len()).unwrap();
            let framed = [&[0][..], &length.to_be_bytes(), &encoded].concat();
            let mut stream = pieces(&[framed.clone(), framed].concat(), cut);
            for _ in 0..2 {
                let message = read(stream.message().unwrap().unwrap()).unwrap();
                let expected = WriteMessage {
                    resource_name: request.resource_name.clone(),
                    write_offset,
                    finish_write,
                    data: message.data.clone(),
                };
                prop_assert_eq!(message.data.concat(), request.data.clone());
                prop_assert_eq!(message, expected);
            }
            prop_assert!(stream.message().unwrap().is_none());
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, cut in 1_usize..9) {
            let _ = read(pieces(&bytes, cut));
            let _ = pieces(&bytes, cut).message();
        }
    }
}
