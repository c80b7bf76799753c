//! Blobs as streams of bytes, either way: the `google.bytestream.ByteStream` service as the Remote Execution API uses
//! it. Knows nothing of how blobs are told from one another on the disk.

use std::sync::{Arc, Weak};

use tonic::Status;

use super::upload_sessions::UploadSessions;
use crate::cas::DiskStore;
use crate::digest::Digest;
use crate::server::execution::log_stream::LogStreams;
use crate::server::storage::settings::StorageSettings;
use crate::server::transport::wire::{self, HttpRequest, HttpResponse, WireService};
use crate::status;

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
        let sessions = Arc::new(UploadSessions::new(settings.idle_upload_timeout));
        let lender: Weak<UploadSessions> = Arc::downgrade(&sessions);
        store.borrow_room_from(lender);
        Self { store, sessions, max_blob_bytes: settings.max_blob_bytes, logs: None }
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

impl WireService for ByteStreamService {
    const NAME: &'static str = "google.bytestream.ByteStream";

    async fn answer(self, request: HttpRequest) -> HttpResponse {
        match wire::method(&request) {
            "Read" => self.read(request).await.unwrap_or_else(Status::into_http),
            "Write" => self.write(request).await.unwrap_or_else(Status::into_http),
            "QueryWriteStatus" => {
                wire::unary(request, move |request| self.query_write_status(request.into_inner())).await
            }
            _ => wire::unimplemented(&request),
        }
    }
}
