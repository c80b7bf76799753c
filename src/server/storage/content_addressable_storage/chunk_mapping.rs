//! Blobs as lists of chunks, so that clients can transfer only those chunks that changed: `GetChunkMapping` and
//! `RegisterChunkMapping`, and the unary calls that they replaced in API 2.13, `SplitBlob` and `SpliceBlob`.
//!
//! Chunks are cut by FastCDC 2020 with the parameters that the API recommends. Cuts depend on nothing but the blob, so
//! mappings need not survive a restart: they are in memory to save the work.

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use prost::Message;
use tonic::Status;
use tonic::codec::Streaming;

use super::service::ContentAddressableStorageService;
use crate::digest::{Digest, DigestFunction};
use crate::reapi::chunking_function::Value as ChunkingFunction;
use crate::reapi::{
    self, GetChunkMappingRequest, GetChunkMappingResponse, RegisterChunkMappingRequest,
    RegisterChunkMappingResponse, SpliceBlobRequest, SpliceBlobResponse, SplitBlobRequest, SplitBlobResponse,
};
use crate::server::storage::byte_stream::too_large;
use crate::server::transport::wire;
use crate::status;

/// Chunks of one blob, which are in memory together, whatever size it claims: a terabyte in chunks of the recommended
/// size.
const MOST_CHUNKS: usize = 2 << 20;

/// Digests in one message of a stream: 1.5 MB, well below what clients accept.
const DIGESTS_PER_MESSAGE: usize = 20_000;

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
        }
        let function = chunking_function(first.chunking_function);
        wire::blocking(move || self.chunks.splice(&*self.store, &blob, chunks, function)).await?;
        Ok(RegisterChunkMappingResponse { blob_digest: Some(blob.to_message()) }.encode_to_vec().into())
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
    if chunks.len() + digests.len() > MOST_CHUNKS {
        return Err(status::invalid("chunk_digests", format!("are more than {MOST_CHUNKS}")));
    }
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
