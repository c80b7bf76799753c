//! `FindMissingBlobs`: digests by the hundred thousand.

use bytes::Bytes;
use tonic::Status;

use super::service::ContentAddressableStorageService;
use crate::cas::BlobStore;
use crate::digest::Digest;
use crate::server::transport::wire;
use crate::server::transport::wire::{Fields, Malformed, WireDigest};
use crate::status;

/// With fewer digests than this, asking the store takes less than having another thread do it.
const FEW: usize = 64;

impl ContentAddressableStorageService {
    pub(crate) async fn find_missing(self, request: Bytes) -> Result<Bytes, Status> {
        // A digest takes at least 68 bytes of the request.
        if request.len() / 68 < FEW {
            return answer(&*self.store, &request);
        }
        wire::blocking(move || answer(&*self.store, &request)).await
    }
}

fn answer(store: &dyn BlobStore, request: &[u8]) -> Result<Bytes, Status> {
    let missing = store.find_missing(&digests(request)?)?;
    let mut response = Vec::with_capacity(missing.len() * 80);
    for digest in &missing {
        wire::put_digest(&mut response, 2, digest);
    }
    Ok(response.into())
}

fn digests(request: &[u8]) -> Result<Vec<Digest>, Status> {
    let malformed = |problem: Malformed| status::invalid("FindMissingBlobsRequest", problem.to_string());
    let function = super::service::function(wire::request_function(request, 3).map_err(malformed)?)?;
    let mut digests = Vec::with_capacity(request.len() / 68);
    for field in Fields::of(request) {
        let (2, value) = field.map_err(malformed)? else { continue };
        let name = || format!("blob_digests[{}]", digests.len());
        let digest = value
            .bytes()
            .and_then(WireDigest::read)
            .map_err(|problem| status::invalid(name(), problem.to_string()))?;
        let digest = digest.resolve(function).map_err(|problem| status::invalid_digest(&name(), &problem))?;
        digests.push(digest);
    }
    Ok(digests)
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use tonic_types::StatusExt;

    use super::*;
    use crate::reapi;

    #[test]
    fn an_invalid_digest_is_named() {
        let valid = reapi::Digest { hash: "a".repeat(64), size_bytes: 1 };
        for (invalid, field) in [
            (reapi::Digest { hash: "xyz".into(), size_bytes: 1 }, "blob_digests[3].hash"),
            (reapi::Digest { hash: "a".repeat(64), size_bytes: -1 }, "blob_digests[3].size_bytes"),
        ] {
            let request = reapi::FindMissingBlobsRequest {
                blob_digests: vec![valid.clone(), valid.clone(), valid.clone(), invalid],
                ..Default::default()
            };
            let refusal = digests(&request.encode_to_vec()).unwrap_err();
            assert_eq!(refusal.code(), tonic::Code::InvalidArgument);
            let details = refusal.get_details_bad_request().unwrap();
            assert_eq!(details.field_violations[0].field, field);
        }
    }
}
