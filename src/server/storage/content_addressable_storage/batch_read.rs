//! `BatchReadBlobs`: many small blobs at once, each with an outcome of its own.

use bytes::Bytes;
use tonic::Status;

use super::service::ContentAddressableStorageService;
use crate::cas::BlobStore;
use crate::digest::Digest;
use crate::reapi::compressor;
use crate::server::storage::zstandard;
use crate::server::transport::budget::Held;
use crate::server::transport::wire;
use crate::server::transport::wire::{Fields, Malformed, WireDigest};
use crate::status;

/// A `BatchReadBlobsRequest`.
struct Request {
    /// Each as it was sent, and what it means.
    digests: Vec<(Bytes, Result<Digest, Status>)>,
    accepts_zstd: bool,
}

/// Blobs smaller than this are not worth compressing.
const COMPRESSIBLE: usize = 512;

impl ContentAddressableStorageService {
    pub(crate) async fn batch_read(self, request: Bytes, held: Option<Held>) -> Result<Bytes, Status> {
        let request = read(&request)?;
        let total: u64 = request
            .digests
            .iter()
            .filter_map(|(_, digest)| digest.as_ref().ok())
            .fold(0, |total, digest| total.saturating_add(digest.size_bytes));
        let limit = self.limits.batch_bytes;
        if total > limit {
            return Err(status::invalid(
                "digests",
                format!(
                    "have {total} bytes in all, more than the {limit} of \
                     CacheCapabilities.max_batch_total_size_bytes: ask for less at once, or by ByteStream"
                ),
            ));
        }
        // Before it is there: many may be made at a time.
        held.map_or(Ok(()), |held| held.answer(usize::try_from(total).unwrap_or(usize::MAX)))?;
        wire::blocking(move || Ok(response(&*self.store, request, total))).await
    }
}

fn read(request: &Bytes) -> Result<Request, Status> {
    let malformed = |problem: Malformed| status::invalid("BatchReadBlobsRequest", problem.to_string());
    let function = super::service::function(wire::request_function(request, 4).map_err(malformed)?)?;
    let mut digests = Vec::with_capacity(request.len() / 68);
    let mut compressors = Vec::new();
    for field in Fields::of(request) {
        match field.map_err(malformed)? {
            (2, value) => {
                let sent = value.bytes().map_err(malformed)?;
                let digest = WireDigest::read(sent).map_err(|problem| {
                    status::invalid(format!("digests[{}]", digests.len()), problem.to_string())
                })?;
                let digest =
                    digest.resolve(function).map_err(|problem| status::invalid_digest("digest", &problem));
                digests.push((request.slice_ref(sent), digest));
            }
            (3, value) => value.int32_list(&mut compressors).map_err(malformed)?,
            _ => {}
        }
    }
    Ok(Request { digests, accepts_zstd: compressors.contains(&(compressor::Value::Zstd as i32)) })
}

fn response(store: &dyn BlobStore, request: Request, total: u64) -> Bytes {
    let valid: Vec<Digest> =
        request.digests.iter().filter_map(|(_, digest)| digest.as_ref().ok().copied()).collect();
    let mut blobs = store.read_many(&valid).into_iter();
    let mut response = Vec::with_capacity(usize::try_from(total).unwrap_or(0) + request.digests.len() * 96);
    for (sent, digest) in request.digests {
        let blob = digest.and_then(|digest| match blobs.next() {
            Some(blob) => blob.map_err(Status::from),
            None => Err(crate::cas::StoreError::NotFound(digest).into()),
        });
        match blob {
            Ok(bytes) if request.accepts_zstd && bytes.len() >= COMPRESSIBLE => {
                match zstandard::compress(&bytes).filter(|compressed| compressed.len() < bytes.len()) {
                    Some(smaller) => {
                        put(&mut response, &sent, &smaller, compressor::Value::Zstd as u64, &[]);
                    }
                    None => put(&mut response, &sent, &bytes, 0, &[]),
                }
            }
            Ok(bytes) => put(&mut response, &sent, &bytes, 0, &[]),
            Err(problem) => put(&mut response, &sent, &[], 0, &status::encoded_outcome(&problem)),
        }
    }
    response.into()
}

/// Appends a `BatchReadBlobsResponse.Response`.
fn put(out: &mut Vec<u8>, digest: &[u8], data: &[u8], compressor: u64, outcome: &[u8]) {
    let length = |bytes: &[u8]| 1 + wire::varint_length(bytes.len() as u64) + bytes.len();
    let data_length = if data.is_empty() { 0 } else { length(data) };
    let compressor_length = if compressor == 0 { 0 } else { 2 };
    wire::put_varint(out, 1 << 3 | 2);
    wire::put_varint(out, (length(digest) + data_length + length(outcome) + compressor_length) as u64);
    wire::put_bytes(out, 1, digest);
    if !data.is_empty() {
        wire::put_bytes(out, 2, data);
    }
    // An empty status is OK, and has to be there: some clients look for it.
    wire::put_bytes(out, 3, outcome);
    wire::put_varint_field(out, 4, compressor);
}
