//! All directories of an input root by one call (REAPI `GetTree`), where the server answers it. Knows nothing of what
//! to do when it does not.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use prost::Message;
use tonic::{Code, Status, Streaming};

use super::link::Link;
use crate::cas::error::StoreError;
use crate::cas::traits::MAX_TREE_BYTES;
use crate::digest::Digest;
use crate::reapi::{GetTreeRequest, GetTreeResponse};

/// What a page and a directory count for at least, of all bytes that a tree may have.
const LEAST_OF_A_PAGE: u64 = 1 << 10;
const LEAST_OF_A_DIRECTORY: u64 = 64;

impl Link {
    /// As [`BlobStore::read_directories`](crate::cas::traits::BlobStore::read_directories). What comes is given on under
    /// the digest that it has, whatever was asked for: a server may send what it likes.
    pub fn read_directories(
        &self,
        root: &Digest,
        take: &mut dyn FnMut(Vec<(Digest, Bytes)>) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        if self.tells_no_trees.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let request = GetTreeRequest {
            instance_name: self.instance_name.clone(),
            root_digest: Some(root.to_message()),
            digest_function: root.function.to_wire(),
            ..GetTreeRequest::default()
        };
        let mut client = self.cas();
        let (mut left, mut given) = (MAX_TREE_BYTES, false);
        let stream = async { Ok(client.get_tree(request).await?.into_inner()) };
        let mut stream: Streaming<GetTreeResponse> = match self.wait_for_next(stream).flatten() {
            Ok(stream) => stream,
            Err(status) => return Ok(self.no_tree(&status, given)),
        };
        loop {
            let page = match self.wait_for_next(stream.message()).flatten() {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(given),
                Err(status) => return Ok(self.no_tree(&status, given)),
            };
            // One with nothing in it takes time, too.
            left = left.saturating_sub(LEAST_OF_A_PAGE);
            let mut directories = Vec::with_capacity(page.directories.len());
            for directory in page.directories {
                let bytes = Bytes::from(directory.encode_to_vec());
                left = left.saturating_sub(bytes.len() as u64 + LEAST_OF_A_DIRECTORY);
                directories.push((root.function.digest(&bytes), bytes));
            }
            given |= !directories.is_empty();
            take(directories)?;
            if left == 0 {
                return Ok(given);
            }
        }
    }

    fn no_tree(&self, status: &Status, given: bool) -> bool {
        if status.code() == Code::Unimplemented {
            self.tells_no_trees.store(true, Ordering::Relaxed);
        } else {
            tracing::debug!(%status, "the server broke off a tree");
        }
        given
    }
}
