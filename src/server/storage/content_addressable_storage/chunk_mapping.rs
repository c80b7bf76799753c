//! Blobs as lists of chunks, so that clients can transfer only those chunks that changed: `GetChunkMapping` and
//! `RegisterChunkMapping`, and the unary calls that they replaced in API 2.13, `SplitBlob` and `SpliceBlob`.
//!
//! Chunks are cut by FastCDC 2020 with the parameters that the API recommends. Cuts depend on nothing but the blob, so
//! mappings need not survive a restart: they are in memory to save the work.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use parking_lot::Mutex;
use prost::Message;
use tonic::Status;
use tonic::codec::Streaming;

use super::service::ContentAddressableStorageService;
use crate::cas::{BlobStore, Chunking, Recent, splice, split};
use crate::digest::{Digest, DigestFunction};
use crate::reapi::{
    self, GetChunkMappingRequest, GetChunkMappingResponse, RegisterChunkMappingRequest,
    RegisterChunkMappingResponse, SpliceBlobRequest, SpliceBlobResponse, SplitBlobRequest, SplitBlobResponse,
    chunking_function::Value as ChunkingFunction,
};
use crate::server::storage::byte_stream::too_large;
use crate::server::transport::{status, wire};

/// How blobs are cut here.
pub(crate) fn chunking() -> Chunking {
    Chunking::default()
}

/// Digests in one message of a stream: 1.5 MB, well below what clients accept.
const DIGESTS_PER_MESSAGE: usize = 20_000;

/// Mappings known, by blob.
pub(crate) struct ChunkMappings {
    known: Mutex<Recent<Digest, Arc<Mapping>>>,
}

struct Mapping {
    chunks: Vec<Digest>,
    function: ChunkingFunction,
}

/// Most bytes of digests that are remembered.
const MEMORY: usize = 16 << 20;

impl Default for ChunkMappings {
    fn default() -> Self {
        Self { known: Mutex::new(Recent::new(MEMORY)) }
    }
}

impl ContentAddressableStorageService {
    pub(crate) async fn split_blob(self, request: Bytes) -> Result<Bytes, Status> {
        let request: SplitBlobRequest = wire::decode("SplitBlobRequest", request)?;
        let blob = blob(request.digest_function, request.blob_digest.as_ref())?;
        let mapping = wire::blocking(move || self.chunks.mapping(&*self.store, &blob)).await?;
        let response = SplitBlobResponse {
            chunk_digests: mapping.chunks.iter().map(Digest::to_message).collect(),
            chunking_function: mapping.function as i32,
        };
        Ok(response.encode_to_vec().into())
    }

    pub(crate) async fn get_chunk_mapping(
        self,
        request: Bytes,
    ) -> Result<BoxStream<'static, Result<Bytes, Status>>, Status> {
        let request: GetChunkMappingRequest = wire::decode("GetChunkMappingRequest", request)?;
        let blob = blob(request.digest_function, request.blob_digest.as_ref())?;
        let mapping = wire::blocking(move || self.chunks.mapping(&*self.store, &blob)).await?;
        let messages = mapping.chunks.len().div_ceil(DIGESTS_PER_MESSAGE).max(1);
        Ok(stream::iter((0..messages).map(move |message| {
            let from = message * DIGESTS_PER_MESSAGE;
            let to = mapping.chunks.len().min(from + DIGESTS_PER_MESSAGE);
            let response = GetChunkMappingResponse {
                chunk_digests: mapping.chunks[from..to].iter().map(Digest::to_message).collect(),
                chunking_function: if message == 0 { mapping.function as i32 } else { 0 },
            };
            Ok(response.encode_to_vec().into())
        }))
        .boxed())
    }

    pub(crate) async fn splice_blob(self, request: Bytes) -> Result<Bytes, Status> {
        let request: SpliceBlobRequest = wire::decode("SpliceBlobRequest", request)?;
        let blob = blob(request.digest_function, request.blob_digest.as_ref())?;
        too_large(&blob, self.limits.blob_bytes)?;
        let mut chunks = Vec::new();
        add_chunks(blob.function, &request.chunk_digests, &mut chunks)?;
        let function = chunking_function(request.chunking_function);
        wire::blocking(move || self.chunks.splice(&*self.store, &blob, chunks, function)).await?;
        Ok(SpliceBlobResponse { blob_digest: Some(blob.to_message()) }.encode_to_vec().into())
    }

    pub(crate) async fn register_chunk_mapping(
        self,
        mut requests: Streaming<Bytes>,
    ) -> Result<Bytes, Status> {
        const NAME: &str = "RegisterChunkMappingRequest";
        let first = requests.message().await?;
        let first = first.ok_or_else(|| status::invalid(NAME, "is missing: the stream is empty"))?;
        let first: RegisterChunkMappingRequest = wire::decode(NAME, first)?;
        let blob = blob(first.digest_function, first.blob_digest.as_ref())?;
        too_large(&blob, self.limits.blob_bytes)?;
        let mut chunks = Vec::new();
        add_chunks(blob.function, &first.chunk_digests, &mut chunks)?;
        while let Some(next) = requests.message().await? {
            let next: RegisterChunkMappingRequest = wire::decode(NAME, next)?;
            add_chunks(blob.function, &next.chunk_digests, &mut chunks)?;
            // Chunks are not empty, so a blob has no more chunks than bytes; nobody has to keep more in memory.
            if chunks.len() as u64 > blob.size_bytes {
                return Err(status::invalid("chunk_digests", "are more than the blob has bytes"));
            }
        }
        let function = chunking_function(first.chunking_function);
        wire::blocking(move || self.chunks.splice(&*self.store, &blob, chunks, function)).await?;
        Ok(RegisterChunkMappingResponse { blob_digest: Some(blob.to_message()) }.encode_to_vec().into())
    }
}

impl ChunkMappings {
    /// The chunks of a blob, all of which are in the store.
    fn mapping(&self, store: &dyn BlobStore, blob: &Digest) -> Result<Arc<Mapping>, Status> {
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
    fn splice(
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
        if !store.find_missing(&[*blob])?.is_empty() {
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

fn blob(function: i32, digest: Option<&reapi::Digest>) -> Result<Digest, Status> {
    Digest::from_field(super::service::function(function)?, digest)
        .map_err(|problem| status::invalid_digest("blob_digest", &problem))
}

fn add_chunks(
    function: DigestFunction,
    digests: &[reapi::Digest],
    chunks: &mut Vec<Digest>,
) -> Result<(), Status> {
    for digest in digests {
        let chunk = Digest::from_message(function, digest).map_err(|problem| {
            status::invalid_digest(&format!("chunk_digests[{}]", chunks.len()), &problem)
        })?;
        chunks.push(chunk);
    }
    Ok(())
}

/// However the client cut: we only say it again.
fn chunking_function(number: i32) -> ChunkingFunction {
    ChunkingFunction::try_from(number).unwrap_or(ChunkingFunction::Unknown)
}
