//! What a command wrote to one of its two streams, wherever the result has it.

use std::io::{Cursor, Read};

use bytes::Bytes;

use super::error::ClientError;
use crate::cas::{BlobStore, StoreError};
use crate::digest::{Digest, DigestFunction};
use crate::reapi;

/// One of the two streams of a command, as a result has it.
pub(super) enum CommandOutput {
    Inlined(Bytes),
    Blob(Digest),
}

impl CommandOutput {
    pub fn new(raw: &[u8], digest: Option<&reapi::Digest>) -> Result<Self, ClientError> {
        match digest {
            Some(digest) if raw.is_empty() => Digest::from_message(DigestFunction::Sha256, digest)
                .map(Self::Blob)
                .map_err(|error| ClientError::Answer(format!("the output of the command: {error}"))),
            _ => Ok(Self::Inlined(Bytes::copy_from_slice(raw))),
        }
    }

    pub fn length(&self) -> u64 {
        match self {
            Self::Inlined(bytes) => bytes.len() as u64,
            Self::Blob(digest) => digest.size_bytes,
        }
    }

    pub fn open(&self, store: &dyn BlobStore, offset: u64) -> Result<Box<dyn Read + Send>, ClientError> {
        if offset >= self.length() {
            return Ok(Box::new(std::io::empty()));
        }
        match self {
            Self::Inlined(bytes) => {
                let offset = usize::try_from(offset).unwrap_or(bytes.len());
                Ok(Box::new(Cursor::new(bytes.slice(offset.min(bytes.len())..))))
            }
            Self::Blob(digest) => store.open(digest, offset).map_err(|error| match error {
                StoreError::NotFound(digest) => {
                    ClientError::OutputGone { path: "the command's own output".into(), digest }
                }
                other => other.into(),
            }),
        }
    }

    pub fn read(&self, store: &dyn BlobStore, offset: u64) -> Result<Bytes, ClientError> {
        let mut bytes = Vec::new();
        self.open(store, offset)?.read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}
