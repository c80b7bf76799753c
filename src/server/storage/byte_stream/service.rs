//! Blobs as streams of bytes, either way: the `google.bytestream.ByteStream` service as the Remote Execution API uses
//! it. Knows nothing of how blobs are kept.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tonic::Status;
use tonic::body::Body;

use crate::cas::DiskStore;
use crate::digest::Digest;
use crate::server::execution::log_stream::LogStreams;
use crate::server::storage::settings::StorageSettings;
use crate::server::transport::request_metadata::log_call;
use crate::server::transport::{status, wire};

use super::upload_sessions::UploadSessions;

/// The `ByteStream` service. All instances share their blobs.
#[derive(Debug, Clone)]
pub struct ByteStreamService {
    pub(super) store: Arc<DiskStore>,
    pub(super) sessions: Arc<UploadSessions>,
    pub(super) max_blob_bytes: Option<u64>,
    pub(super) logs: Option<LogStreams>,
}

impl ByteStreamService {
    /// The blobs in `store`.
    pub fn new(store: Arc<DiskStore>, settings: &StorageSettings) -> Self {
        Self {
            store,
            sessions: Arc::new(UploadSessions::new(settings.idle_upload_timeout)),
            max_blob_bytes: settings.max_blob_bytes,
            logs: None,
        }
    }

    /// The same service, from which what running actions write can be read, too.
    #[must_use]
    pub fn with_logs(self, logs: LogStreams) -> Self {
        Self { logs: Some(logs), ..self }
    }
}

/// Refuses blobs that are larger than an upload may be.
pub(crate) fn too_large(digest: &Digest, max_blob_bytes: Option<u64>) -> Result<(), Status> {
    match max_blob_bytes {
        Some(limit) if digest.size_bytes > limit => Err(status::invalid(
            "digest.size_bytes",
            format!(
                "{} is more than the {limit} of CacheCapabilities.max_cas_blob_size_bytes",
                digest.size_bytes
            ),
        )),
        _ => Ok(()),
    }
}

/// If the client says in a header, too, which resource it means, that has to be the same one.
pub(super) fn check_header(headers: &http::HeaderMap, resource_name: &str) -> Result<(), Status> {
    const HEADER: &str = "build.bazel.remote.execution.v2.resource-name";
    match headers.get(HEADER) {
        Some(header) if header.as_bytes() != resource_name.as_bytes() => Err(status::invalid(
            HEADER,
            format!("is not the resource name in the request, `{resource_name}`"),
        )),
        _ => Ok(()),
    }
}

impl tonic::server::NamedService for ByteStreamService {
    const NAME: &'static str = "google.bytestream.ByteStream";
}

impl tower::Service<http::Request<Body>> for ByteStreamService {
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
                "Read" => service.read(request).await.unwrap_or_else(Status::into_http),
                "Write" => service.write(request).await.unwrap_or_else(Status::into_http),
                "QueryWriteStatus" => {
                    wire::unary(request, move |request| service.query_write_status(request.into_inner()))
                        .await
                }
                _ => wire::unimplemented(&request),
            })
        }
        .boxed()
    }
}
