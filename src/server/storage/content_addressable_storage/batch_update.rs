//! `BatchUpdateBlobs`: many small blobs at once, each with an outcome of its own.

use bytes::Bytes;
use tonic::Status;

use super::service::{ContentAddressableStorageService, Limits};
use crate::cas::BlobStore;
use crate::digest::{Digest, DigestFunction};
use crate::reapi::compressor;
use crate::server::storage::byte_stream::too_large;
use crate::server::storage::zstandard;
use crate::server::transport::wire;
use crate::server::transport::wire::{Fields, Malformed, Value, WireDigest};
use crate::status;

/// A `BatchUpdateBlobsRequest.Request`.
struct Blob {
    /// The digest as it was sent: the client finds its blobs in the response by that.
    sent_digest: Bytes,
    digest: Result<Digest, Status>,
    data: Bytes,
    compressor: i32,
}

impl ContentAddressableStorageService {
    pub(crate) async fn batch_update(self, request: Bytes) -> Result<Bytes, Status> {
        let blobs = read(&request)?;
        check_total(&blobs, self.limits.batch_bytes)?;
        wire::blocking(move || Ok(write(&*self.store, self.limits, blobs))).await
    }
}

fn read(request: &Bytes) -> Result<Vec<Blob>, Status> {
    let malformed = |problem: Malformed| status::invalid("BatchUpdateBlobsRequest", problem.to_string());
    let function = super::service::function(wire::request_function(request, 5).map_err(malformed)?)?;
    let mut blobs = Vec::new();
    for field in Fields::of(request) {
        let (2, value) = field.map_err(malformed)? else { continue };
        let blob = read_blob(request, function, value)
            .map_err(|problem| status::invalid(format!("requests[{}]", blobs.len()), problem.to_string()))?;
        blobs.push(blob);
    }
    Ok(blobs)
}

fn read_blob(request: &Bytes, function: DigestFunction, value: Value<'_>) -> Result<Blob, Malformed> {
    let mut digest = Err(crate::digest::InvalidBlobDigest::Missing);
    let mut blob =
        Blob { sent_digest: Bytes::new(), digest: Err(Status::ok("")), data: Bytes::new(), compressor: 0 };
    for field in Fields::of(value.bytes()?) {
        match field? {
            (1, value) => {
                blob.sent_digest = request.slice_ref(value.bytes()?);
                digest = WireDigest::read(&blob.sent_digest)?.resolve(function);
            }
            (2, value) => blob.data = request.slice_ref(value.bytes()?),
            (3, value) => blob.compressor = value.int32()?,
            _ => {}
        }
    }
    blob.digest = digest.map_err(|problem| status::invalid_digest("digest", &problem));
    Ok(blob)
}

/// The limit holds for what is sent and for what it becomes. Digests that claim more than the limit on their own are
/// left out: theirs is not a batch too large but a blob that is not what it should be.
fn check_total(blobs: &[Blob], limit: u64) -> Result<(), Status> {
    let total: u64 = blobs
        .iter()
        .map(|blob| {
            let sent = blob.data.len() as u64;
            let claimed = blob.digest.as_ref().map_or(0, |digest| digest.size_bytes);
            if blob.compressor == 0 || claimed > limit { sent } else { sent.max(claimed) }
        })
        .sum();
    if total > limit {
        return Err(status::invalid(
            "requests",
            format!(
                "have {total} bytes in all, more than the {limit} of \
                 CacheCapabilities.max_batch_total_size_bytes: send smaller batches, or large blobs by ByteStream"
            ),
        ));
    }
    Ok(())
}

fn write(store: &dyn BlobStore, limits: Limits, blobs: Vec<Blob>) -> Bytes {
    let mut outcomes: Vec<(Bytes, Option<Status>)> = Vec::with_capacity(blobs.len());
    let mut writable = Vec::with_capacity(blobs.len());
    let mut places = Vec::with_capacity(blobs.len());
    for blob in blobs {
        let sent_digest = blob.sent_digest.clone();
        match contents(blob, limits) {
            Ok(contents) => {
                places.push(outcomes.len());
                writable.push(contents);
                outcomes.push((sent_digest, None));
            }
            Err(problem) => outcomes.push((sent_digest, Some(problem))),
        }
    }
    for (place, written) in places.into_iter().zip(store.write_many(&writable)) {
        outcomes[place].1 = written.err().map(Status::from);
    }
    response(&outcomes)
}

/// The bytes that are to be the blob: right in length, their hash not yet looked at.
fn contents(blob: Blob, limits: Limits) -> Result<(Digest, Bytes), Status> {
    let digest = blob.digest?;
    too_large(&digest, limits.blob_bytes)?;
    let bytes = match compressor::Value::try_from(blob.compressor) {
        Ok(compressor::Value::Identity) => blob.data,
        Ok(compressor::Value::Zstd) if digest.size_bytes > limits.batch_bytes => {
            return Err(status::invalid(
                "digest.size_bytes",
                format!("{} is more than a batch may have, {}", digest.size_bytes, limits.batch_bytes),
            ));
        }
        Ok(compressor::Value::Zstd) => zstandard::decompress(&blob.data, &digest)?,
        _ => {
            return Err(status::invalid(
                "compressor",
                format!("number {} is not supported; IDENTITY and ZSTD are", blob.compressor),
            ));
        }
    };
    if bytes.len() as u64 != digest.size_bytes {
        return Err(status::invalid(
            "data",
            format!("has {} bytes, its digest says {}", bytes.len(), digest.size_bytes),
        ));
    }
    Ok((digest, bytes))
}

fn response(outcomes: &[(Bytes, Option<Status>)]) -> Bytes {
    let mut response = Vec::with_capacity(outcomes.len() * 80);
    let mut one = Vec::with_capacity(128);
    for (digest, problem) in outcomes {
        one.clear();
        wire::put_bytes(&mut one, 1, digest);
        // An empty status is OK, and has to be there: some clients look for it.
        wire::put_bytes(&mut one, 2, &problem.as_ref().map(status::encoded_outcome).unwrap_or_default());
        wire::put_bytes(&mut response, 1, &one);
    }
    response.into()
}
