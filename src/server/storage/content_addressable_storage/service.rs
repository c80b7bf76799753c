//! Blobs by the batch, trees and chunks: the REAPI `ContentAddressableStorage` service. Knows nothing of disks.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tonic::Status;
use tonic::body::Body;

use crate::cas::BlobStore;
use crate::digest::DigestFunction;
use crate::server::storage::settings::StorageSettings;
use crate::server::transport::request_metadata::log_call;
use crate::server::transport::{status, wire};

use super::chunk_mapping::ChunkMappings;

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

impl tonic::server::NamedService for ContentAddressableStorageService {
    const NAME: &'static str = "build.bazel.remote.execution.v2.ContentAddressableStorage";
}

impl tower::Service<http::Request<Body>> for ContentAddressableStorageService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        async move {
            log_call(wire::method(&request), request.headers());
            Ok(match wire::method(&request) {
                "FindMissingBlobs" => {
                    wire::unary(request, |request| service.find_missing(request.into_inner())).await
                }
                "BatchUpdateBlobs" => {
                    wire::unary(request, |request| service.batch_update(request.into_inner())).await
                }
                "BatchReadBlobs" => {
                    wire::unary(request, |request| service.batch_read(request.into_inner())).await
                }
                "GetTree" => {
                    wire::server_streaming(request, |request| service.get_tree(request.into_inner())).await
                }
                "SplitBlob" => wire::unary(request, |request| service.split_blob(request.into_inner())).await,
                "GetChunkMapping" => {
                    wire::server_streaming(request, |request| service.get_chunk_mapping(request.into_inner()))
                        .await
                }
                "SpliceBlob" => {
                    wire::unary(request, |request| service.splice_blob(request.into_inner())).await
                }
                "RegisterChunkMapping" => {
                    wire::client_streaming(request, |request| {
                        service.register_chunk_mapping(request.into_inner())
                    })
                    .await
                }
                _ => wire::unimplemented(&request),
            })
        }
        .boxed()
    }
}
