//! Blobs by the batch, trees and chunks: the REAPI `ContentAddressableStorage` service. Knows nothing of disks.

use std::sync::Arc;

use tonic::Status;

use super::known_mappings::ChunkMappings;
use crate::cas::BlobStore;
use crate::digest::DigestFunction;
use crate::server::storage::settings::StorageSettings;
use crate::server::transport::wire::{self, HttpRequest, HttpResponse, WireService};
use crate::status;

/// The `ContentAddressableStorage` service. All instances share their blobs.
#[derive(Clone)]
pub struct ContentAddressableStorageService {
    pub(super) store: Arc<dyn BlobStore>,
    pub(super) chunks: Arc<ChunkMappings>,
    pub(super) limits: Limits,
}

/// How much a client may send or ask for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) blob_bytes: Option<u64>,
    pub(super) batch_bytes: u64,
}

impl ContentAddressableStorageService {
    /// The blobs in `store`.
    pub fn new(store: Arc<dyn BlobStore>, settings: &StorageSettings) -> Self {
        let limits = Limits { blob_bytes: settings.max_blob_bytes, batch_bytes: settings.max_batch_bytes };
        Self { store, chunks: Arc::default(), limits }
    }
}

/// The digest function that a request names.
pub(super) fn function(number: i32) -> Result<DigestFunction, Status> {
    DigestFunction::from_wire(number).map_err(|problem| status::invalid_digest("digest_function", &problem))
}

impl WireService for ContentAddressableStorageService {
    const NAME: &'static str = "build.bazel.remote.execution.v2.ContentAddressableStorage";

    async fn answer(self, request: HttpRequest) -> HttpResponse {
        match wire::method(&request) {
            "FindMissingBlobs" => {
                wire::unary(request, |request| self.find_missing(request.into_inner())).await
            }
            "BatchUpdateBlobs" => {
                wire::unary(request, |request| self.batch_update(request.into_inner())).await
            }
            "BatchReadBlobs" => {
                wire::unary(request, |request| {
                    let held = wire::held(&request);
                    self.batch_read(request.into_inner(), held)
                })
                .await
            }
            "GetTree" => wire::server_streaming(request, |request| self.get_tree(request.into_inner())).await,
            "SplitBlob" => wire::unary(request, |request| self.split_blob(request.into_inner())).await,
            "GetChunkMapping" => {
                wire::server_streaming(request, |request| self.get_chunk_mapping(request.into_inner())).await
            }
            "SpliceBlob" => wire::unary(request, |request| self.splice_blob(request.into_inner())).await,
            "RegisterChunkMapping" => {
                wire::client_streaming(request, |request| self.register_chunk_mapping(request.into_inner()))
                    .await
            }
            _ => wire::unimplemented(&request),
        }
    }
}
