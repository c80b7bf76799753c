//! BatchUpdateBlobs and BatchReadBlobs.

use crosswheel::digest::{Digest, DigestFunction};
use crosswheel::reapi::batch_update_blobs_request::Request;
use crosswheel::reapi::{
    BatchReadBlobsRequest, BatchUpdateBlobsRequest, Digest as DigestMessage, batch_read_blobs_response,
    batch_update_blobs_response, compressor::Value as Compressor,
};
use crosswheel::server::{MAX_BATCH_BYTES, StorageSettings};
use tonic::{Code, Status};

use super::endpoint::{Endpoint, noise};

fn blob(digest: DigestMessage, data: &[u8], compressor: Compressor) -> Request {
    Request { digest: Some(digest), data: data.to_vec(), compressor: compressor as i32 }
}

fn sha256(data: &[u8]) -> DigestMessage {
    DigestFunction::Sha256.digest(data).to_message()
}

async fn update(
    endpoint: &Endpoint,
    requests: Vec<Request>,
) -> Result<Vec<batch_update_blobs_response::Response>, Status> {
    let request = BatchUpdateBlobsRequest { requests, ..Default::default() };
    Ok(endpoint.cas().batch_update_blobs(request).await?.into_inner().responses)
}

async fn read(
    endpoint: &Endpoint,
    digests: Vec<DigestMessage>,
    acceptable_compressors: Vec<i32>,
) -> Result<Vec<batch_read_blobs_response::Response>, Status> {
    let request = BatchReadBlobsRequest { digests, acceptable_compressors, ..Default::default() };
    Ok(endpoint.cas().batch_read_blobs(request).await?.into_inner().responses)
}

/// One bad blob fails a whole batch in NativeLink.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_blob_of_an_update_has_an_outcome_of_its_own() {
    let endpoint = Endpoint::start().await;
    let mut shorter = sha256(b"shorter");
    shorter.size_bytes -= 1;
    let negative = DigestMessage { size_bytes: -5, ..sha256(b"x") };
    let huge = DigestMessage { size_bytes: i64::MAX, ..sha256(b"x") };
    let compressed = zstd::bulk::compress(&[7; 10_000], 3).unwrap();
    let requests = vec![
        blob(sha256(b"good"), b"good", Compressor::Identity),
        blob(sha256(b"good"), b"evil", Compressor::Identity),
        blob(shorter, b"shorter", Compressor::Identity),
        blob(DigestMessage { hash: "?".into(), size_bytes: 1 }, b"?", Compressor::Identity),
        blob(negative, b"x", Compressor::Identity),
        blob(huge.clone(), b"x", Compressor::Zstd),
        blob(huge, b"x", Compressor::Identity),
        Request { digest: None, data: b"x".to_vec(), compressor: 0 },
        blob(sha256(&[7; 10_000]), &compressed, Compressor::Zstd),
        blob(sha256(&[7; 10]), &compressed, Compressor::Zstd),
        blob(sha256(b"not zstd"), b"not zstd", Compressor::Zstd),
        blob(sha256(b"brotli"), b"brotli", Compressor::Brotli),
        blob(sha256(b""), b"", Compressor::Identity),
        blob(sha256(b"also good"), b"also good", Compressor::Identity),
    ];
    let sent: Vec<Option<DigestMessage>> = requests.iter().map(|request| request.digest.clone()).collect();
    let responses = update(&endpoint, requests).await.unwrap();
    let digests: Vec<DigestMessage> =
        responses.iter().map(|response| response.digest.clone().unwrap_or_default()).collect();
    assert_eq!(digests, sent.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>());
    let codes: Vec<i32> = responses.iter().map(|response| response.status.as_ref().unwrap().code).collect();
    let (ok, bad) = (Code::Ok as i32, Code::InvalidArgument as i32);
    assert_eq!(codes, [ok, bad, bad, bad, bad, bad, bad, bad, ok, bad, bad, bad, ok, ok]);
    assert!(endpoint.has(&DigestFunction::Sha256.digest(b"good")));
    assert!(endpoint.has(&DigestFunction::Sha256.digest(&[7; 10_000])));
    assert!(!endpoint.has(&DigestFunction::Sha256.digest(b"evil")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_blob_of_a_read_has_an_outcome_of_its_own() {
    let endpoint = Endpoint::start().await;
    let present = endpoint.put(b"present");
    let responses = read(
        &endpoint,
        vec![
            present.to_message(),
            sha256(b"absent"),
            DigestMessage { hash: "?".into(), size_bytes: 1 },
            sha256(b""),
            present.to_message(),
        ],
        Vec::new(),
    )
    .await
    .unwrap();
    let codes: Vec<i32> = responses.iter().map(|response| response.status.as_ref().unwrap().code).collect();
    let (ok, absent, bad) = (Code::Ok as i32, Code::NotFound as i32, Code::InvalidArgument as i32);
    assert_eq!(codes, [ok, absent, bad, ok, ok]);
    assert_eq!(responses[0].data, b"present");
    assert_eq!(responses[1].digest, Some(sha256(b"absent")));
    assert!(responses[3].data.is_empty());
    assert_eq!(responses[4].data, b"present");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_beyond_the_advertised_limit_are_refused_with_the_limit() {
    let endpoint = Endpoint::start().await;
    let half = usize::try_from(MAX_BATCH_BYTES / 2).unwrap();
    let (one, two) = (noise(half, 1), noise(half, 2));
    let requests =
        vec![blob(sha256(&one), &one, Compressor::Identity), blob(sha256(&two), &two, Compressor::Identity)];
    let responses = update(&endpoint, requests.clone()).await.unwrap();
    assert!(responses.iter().all(|response| response.status.as_ref().unwrap().code == 0));
    let responses = read(&endpoint, vec![sha256(&one), sha256(&two)], Vec::new()).await.unwrap();
    assert!(responses[0].data == one && responses[1].data == two);

    let mut more = requests;
    more.push(blob(sha256(b"1"), b"1", Compressor::Identity));
    let refusal = update(&endpoint, more).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert!(refusal.message().contains("max_batch_total_size_bytes"), "{refusal}");
    let refusal =
        read(&endpoint, vec![sha256(&one), sha256(&two), sha256(b"1")], Vec::new()).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    // Compressed blobs count as what they become.
    let zeros = vec![0; half + 1];
    let compressed = zstd::bulk::compress(&zeros, 3).unwrap();
    let zeros = vec![blob(sha256(&zeros), &compressed, Compressor::Zstd); 2];
    assert_eq!(update(&endpoint, zeros).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_are_compressed_for_clients_that_accept_it_and_where_it_helps() {
    let endpoint = Endpoint::start().await;
    let (text, noise) = (b"crosswheel ".repeat(1000), noise(10_000, 3));
    let digests = vec![endpoint.put(&text).to_message(), endpoint.put(&noise).to_message()];
    let responses = read(&endpoint, digests, vec![Compressor::Zstd as i32]).await.unwrap();
    assert_eq!(responses[0].compressor, Compressor::Zstd as i32);
    assert_eq!(zstd::bulk::decompress(&responses[0].data, text.len()).unwrap(), text);
    assert_eq!(responses[1].compressor, Compressor::Identity as i32);
    assert_eq!(responses[1].data, noise);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_of_blake3_go_both_ways() {
    let endpoint = Endpoint::start().await;
    let digest: Digest = DigestFunction::Blake3.digest(b"blake");
    let request = BatchUpdateBlobsRequest {
        requests: vec![blob(digest.to_message(), b"blake", Compressor::Identity)],
        digest_function: DigestFunction::Blake3.to_wire(),
        ..Default::default()
    };
    let responses = endpoint.cas().batch_update_blobs(request).await.unwrap().into_inner().responses;
    assert_eq!(responses[0].status.as_ref().unwrap().code, 0);
    let request = BatchReadBlobsRequest {
        digests: vec![digest.to_message()],
        digest_function: DigestFunction::Blake3.to_wire(),
        ..Default::default()
    };
    let responses = endpoint.cas().batch_read_blobs(request).await.unwrap().into_inner().responses;
    assert_eq!(responses[0].data, b"blake");
    // The same hash under the other function is another blob.
    assert_eq!(
        read(&endpoint, vec![digest.to_message()], vec![]).await.unwrap()[0].status.as_ref().unwrap().code,
        5
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_larger_than_the_server_takes_are_refused_one_by_one() {
    let settings = StorageSettings { max_blob_bytes: Some(10), ..StorageSettings::default() };
    let endpoint = Endpoint::start_with(settings).await;
    let requests = vec![
        blob(sha256(b"0123456789"), b"0123456789", Compressor::Identity),
        blob(sha256(b"0123456789a"), b"0123456789a", Compressor::Identity),
    ];
    let responses = update(&endpoint, requests).await.unwrap();
    let codes: Vec<i32> = responses.iter().map(|response| response.status.as_ref().unwrap().code).collect();
    assert_eq!(codes, [Code::Ok as i32, Code::InvalidArgument as i32]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_thousands_of_blobs_is_stored() {
    let endpoint = Endpoint::start().await;
    let blobs: Vec<Vec<u8>> = (0..3000).map(|seed| noise(100, seed)).collect();
    let requests = blobs.iter().map(|data| blob(sha256(data), data, Compressor::Identity)).collect();
    let responses = update(&endpoint, requests).await.unwrap();
    assert!(responses.iter().all(|response| response.status.as_ref().unwrap().code == 0));
    let responses = read(&endpoint, blobs.iter().map(|data| sha256(data)).collect(), vec![]).await.unwrap();
    assert!(responses.iter().zip(&blobs).all(|(response, data)| &response.data == data));
}
