//! FindMissingBlobs.

use crosswheel::digest::DigestFunction;
use crosswheel::reapi::{Digest as DigestMessage, FindMissingBlobsRequest};
use tonic::Code;
use tonic_types::StatusExt;

use super::endpoint::Endpoint;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_that_are_missing_are_named_however_many_are_asked_for() {
    let endpoint = Endpoint::start().await;
    let present = endpoint.put(b"present");
    for count in [1_usize, 63, 5000] {
        let missing: Vec<DigestMessage> = (0..count)
            .map(|index| DigestFunction::Sha256.digest(index.to_string().as_bytes()).to_message())
            .collect();
        let mut blob_digests = missing.clone();
        blob_digests.insert(count / 2, present.to_message());
        let request = FindMissingBlobsRequest { blob_digests, ..Default::default() };
        let response = endpoint.cas().find_missing_blobs(request).await.unwrap().into_inner();
        assert_eq!(response.missing_blob_digests, missing);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_empty_blob_is_always_there() {
    let endpoint = Endpoint::start().await;
    for function in DigestFunction::ALL {
        let request = FindMissingBlobsRequest {
            blob_digests: vec![function.digest(b"").to_message()],
            digest_function: function.to_wire(),
            ..Default::default()
        };
        let response = endpoint.cas().find_missing_blobs(request).await.unwrap().into_inner();
        assert!(response.missing_blob_digests.is_empty(), "{function:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_digest_and_an_unknown_function_are_named() {
    let endpoint = Endpoint::start().await;
    let valid = DigestFunction::Sha256.digest(b"a").to_message();
    let invalid = DigestMessage { hash: "nonsense".into(), size_bytes: 1 };
    let blob_digests = vec![valid.clone(), valid.clone(), valid.clone(), invalid];
    let request = FindMissingBlobsRequest { blob_digests, ..Default::default() };
    let refusal = endpoint.cas().find_missing_blobs(request).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    let details = refusal.get_details_bad_request().unwrap();
    assert_eq!(details.field_violations[0].field, "blob_digests[3].hash");

    let request =
        FindMissingBlobsRequest { blob_digests: vec![valid], digest_function: 3, ..Default::default() };
    let refusal = endpoint.cas().find_missing_blobs(request).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert!(refusal.message().contains("MD5"), "{refusal}");
}
