//! Blobs and action results: on disk here, or in a remote store behind the same traits.
//! Knows nothing of what the blobs are for.

use std::io::{self, Read};

use bytes::Bytes;

use super::error::StoreError;
use crate::digest::Digest;
use crate::reapi::ActionResult;

/// A content-addressable store. All calls block; asynchronous callers use `spawn_blocking`.
///
/// What is read has been verified: a blob has the size of its digest, and it was hashed when it was written, or since.
pub trait BlobStore: Send + Sync {
    /// Those of `digests` that are not there. Counts as a use of those that are.
    fn find_missing(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError>;

    /// As [`find_missing`](Self::find_missing), and those whose bytes are not what they were, if the store can tell: for
    /// whoever has the bytes, or is about to use them. This may read them all.
    fn find_unsound(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        self.find_missing(digests)
    }

    /// A whole blob in memory: for messages and small files.
    fn read(&self, digest: &Digest) -> Result<Bytes, StoreError>;

    /// An encoded `Directory` in memory.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] for more than [`MAX_DIRECTORY_BYTES`], whether or not the blob is there.
    fn read_directory(&self, digest: &Digest) -> Result<Bytes, StoreError> {
        self.read(at_most(digest, "Directory", MAX_DIRECTORY_BYTES)?)
    }

    /// Gives to `take` encoded `Directory` messages of those in and below `root`, as the store gets hold of them, in any
    /// order and perhaps not all. Returns false, without having given any, if it has no way to do that in one go.
    ///
    /// # Errors
    /// Those of `take`. Of its own there are none: who asks for a directory by itself will learn why it cannot be had.
    fn read_directories(
        &self,
        _root: &Digest,
        _take: &mut dyn FnMut(Vec<(Digest, Bytes)>) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// An encoded `Tree` in memory.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] for more than [`MAX_TREE_BYTES`], whether or not the blob is there.
    fn read_tree(&self, digest: &Digest) -> Result<Bytes, StoreError> {
        self.read(at_most(digest, "Tree", MAX_TREE_BYTES)?)
    }

    /// Many whole blobs, each with its own outcome, in the order asked for.
    fn read_many(&self, digests: &[Digest]) -> Vec<Result<Bytes, StoreError>>;

    /// The bytes of a blob from `offset` on.
    fn open(&self, digest: &Digest, offset: u64) -> Result<Box<dyn Read + Send>, StoreError>;

    /// Writes many blobs, each with its own outcome, in the order given. One whose bytes are not those of its
    /// digest is refused.
    fn write_many(&self, blobs: &[(Digest, Bytes)]) -> Vec<Result<(), StoreError>>;

    /// Writes a blob from a stream, which must yield exactly its bytes.
    fn write_from(&self, digest: &Digest, source: &mut dyn Read) -> Result<(), StoreError>;

    /// As [`write_from`](Self::write_from), from a source that can be opened again where a store that has lost what
    /// it was sent would fail otherwise. Each one that `open` returns must yield all of the blob's bytes.
    fn write_reopening<'a>(
        &self,
        digest: &Digest,
        open: &mut dyn FnMut() -> io::Result<Box<dyn Read + 'a>>,
    ) -> Result<(), StoreError> {
        let mut source =
            open().map_err(|source| StoreError::Io { doing: "open what is to be stored".into(), source })?;
        self.write_from(digest, &mut source)
    }

    /// Writes one blob that is in memory.
    fn write(&self, digest: &Digest, bytes: Bytes) -> Result<(), StoreError> {
        self.write_many(&[(*digest, bytes)]).pop().unwrap_or(Ok(()))
    }
}

/// The largest `Directory` message that is read: some 500,000 files in one directory.
pub const MAX_DIRECTORY_BYTES: u64 = 64 << 20;

/// The largest `Tree` message that is read: some four million files.
pub const MAX_TREE_BYTES: u64 = 512 << 20;

fn at_most<'a>(digest: &'a Digest, what: &'static str, limit: u64) -> Result<&'a Digest, StoreError> {
    if digest.size_bytes > limit {
        return Err(StoreError::TooLarge { digest: *digest, what, limit });
    }
    Ok(digest)
}

/// Results of actions by the digest of the action (REAPI `ActionCache`). Results of different instances are
/// kept apart.
pub trait ActionCache: Send + Sync {
    /// The result, if there is one. Whether its outputs still exist is another question.
    fn get(&self, instance_name: &str, action: &Digest) -> Result<Option<ActionResult>, StoreError>;

    /// Sets or replaces the result.
    fn put(&self, instance_name: &str, action: &Digest, result: &ActionResult) -> Result<(), StoreError>;
}
