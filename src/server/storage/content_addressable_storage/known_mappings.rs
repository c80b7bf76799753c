//! Which chunks blobs consist of, as far as somebody has asked or said. Knows nothing of calls.

use std::sync::Arc;

use parking_lot::Mutex;
use tonic::Status;

use crate::cas::{BlobStore, Chunking, LruCache, splice, split};
use crate::digest::Digest;
use crate::reapi::chunking_function::Value as ChunkingFunction;
use crate::status;

/// How blobs are cut here.
pub(crate) fn chunking() -> Chunking {
    Chunking::default()
}

/// Mappings known, by blob.
pub(super) struct ChunkMappings {
    known: Mutex<LruCache<Digest, Arc<Mapping>>>,
}

/// The chunks of a blob, in order, and how it was cut.
pub(super) struct Mapping {
    pub(super) chunks: Vec<Digest>,
    pub(super) function: ChunkingFunction,
}

/// Most bytes of digests that are remembered.
const MEMORY: usize = 16 << 20;

impl Default for ChunkMappings {
    fn default() -> Self {
        Self { known: Mutex::new(LruCache::new(MEMORY)) }
    }
}

impl ChunkMappings {
    /// The chunks of a blob, all of which are in the store.
    pub(super) fn mapping(&self, store: &dyn BlobStore, blob: &Digest) -> Result<Arc<Mapping>, Status> {
        // The blob is in use, too, and without it there is nothing to split.
        if !store.find_missing(&[*blob])?.is_empty() {
            return Err(crate::cas::StoreError::NotFound(*blob).into());
        }
        let known = self.known.lock().get(blob);
        if let Some(mapping) = known
            && store.find_missing(&mapping.chunks)?.is_empty()
        {
            return Ok(mapping);
        }
        // Smaller blobs are not to be cut.
        let chunks = if blob.size_bytes < chunking().max_bytes() {
            vec![*blob]
        } else {
            split(store, blob, chunking())?
        };
        Ok(self.remember(*blob, Mapping { chunks, function: ChunkingFunction::FastCdc2020 }))
    }

    /// Makes a blob of chunks, unless it is there.
    pub(super) fn splice(
        &self,
        store: &dyn BlobStore,
        blob: &Digest,
        chunks: Vec<Digest>,
        function: ChunkingFunction,
    ) -> Result<(), Status> {
        let total = chunks.iter().fold(0_u64, |total, chunk| total.saturating_add(chunk.size_bytes));
        if total != blob.size_bytes {
            return Err(status::invalid(
                "chunk_digests",
                format!("have {total} bytes in all, the blob has {}", blob.size_bytes),
            ));
        }
        if !store.find_unsound(&[*blob])?.is_empty() {
            splice(store, blob, &chunks)?;
            // Only now is it sure that these are its chunks.
            self.remember(*blob, Mapping { chunks, function });
        }
        Ok(())
    }

    fn remember(&self, blob: Digest, mapping: Mapping) -> Arc<Mapping> {
        let weight = 128 + mapping.chunks.len() * size_of::<Digest>();
        let mapping = Arc::new(mapping);
        self.known.lock().insert(blob, Arc::clone(&mapping), weight);
        mapping
    }
}
