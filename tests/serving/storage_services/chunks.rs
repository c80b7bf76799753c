//! Blobs as lists of chunks, by the streams of API 2.13 and by the calls of 2.12.

use crosswheel::cas::BlobStore;
use crosswheel::digest::{Digest, DigestFunction};
use crosswheel::reapi::chunking_function::Value as ChunkingFunction;
use crosswheel::reapi::{
    GetChunkMappingRequest, RegisterChunkMappingRequest, SpliceBlobRequest, SplitBlobRequest,
};
use fastcdc::v2020::{FastCDC, Normalization};
use tonic::{Code, Status};

use super::endpoint::{Endpoint, noise};
use crate::support::waiting::messages;

const FUNCTION: DigestFunction = DigestFunction::Sha256;

async fn mapping(endpoint: &Endpoint, blob: &Digest) -> Result<(Vec<Digest>, i32), Status> {
    let request = GetChunkMappingRequest {
        blob_digest: Some(blob.to_message()),
        digest_function: FUNCTION.to_wire(),
        ..Default::default()
    };
    let stream = endpoint.cas().get_chunk_mapping(request).await?.into_inner();
    let responses = messages("the end of the mapping", stream).await?;
    let chunks = responses.iter().flat_map(|response| &response.chunk_digests);
    let chunks = chunks.map(|chunk| Digest::from_message(FUNCTION, chunk).unwrap()).collect();
    Ok((chunks, responses[0].chunking_function))
}

async fn register(endpoint: &Endpoint, blob: &Digest, chunks: &[Digest]) -> Result<Digest, Status> {
    let mut messages = vec![RegisterChunkMappingRequest {
        blob_digest: Some(blob.to_message()),
        digest_function: FUNCTION.to_wire(),
        ..Default::default()
    }];
    messages.extend(chunks.chunks(2).map(|chunks| RegisterChunkMappingRequest {
        chunk_digests: chunks.iter().map(Digest::to_message).collect(),
        ..Default::default()
    }));
    let response = endpoint.cas().register_chunk_mapping(tokio_stream::iter(messages)).await?.into_inner();
    Ok(Digest::from_field(FUNCTION, response.blob_digest.as_ref()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_blob_is_cut_by_fastcdc_with_the_advertised_parameters() {
    let endpoint = Endpoint::start().await;
    let bytes = noise(5_000_000, 1);
    let blob = endpoint.put(&bytes);
    let (chunks, function) = mapping(&endpoint, &blob).await.unwrap();
    assert_eq!(function, ChunkingFunction::FastCdc2020 as i32);
    let expected: Vec<Digest> =
        FastCDC::with_level(&bytes, 128 << 10, 512 << 10, 2 << 20, Normalization::Level2)
            .map(|chunk| FUNCTION.digest(&bytes[chunk.offset..chunk.offset + chunk.length]))
            .collect();
    assert!(expected.len() > 3);
    assert_eq!(chunks, expected);
    let whole: Vec<u8> = chunks.iter().flat_map(|chunk| endpoint.store.read(chunk).unwrap()).collect();
    assert!(whole == bytes);
    // By the older call, and again: the same.
    let request = SplitBlobRequest { blob_digest: Some(blob.to_message()), ..Default::default() };
    let response = endpoint.cas().split_blob(request).await.unwrap().into_inner();
    assert_eq!(response.chunk_digests, chunks.iter().map(Digest::to_message).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_blob_is_its_only_chunk_and_a_missing_one_not_found() {
    let endpoint = Endpoint::start().await;
    let blob = endpoint.put(&noise(2_000_000, 1));
    assert_eq!(mapping(&endpoint, &blob).await.unwrap().0, [blob]);
    let absent = FUNCTION.digest(b"absent");
    assert_eq!(mapping(&endpoint, &absent).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_become_a_blob_whose_mapping_is_known() {
    let endpoint = Endpoint::start().await;
    let pieces = [noise(100_000, 1), noise(200_000, 2), noise(1, 3), noise(100_000, 1)];
    let chunks: Vec<Digest> = pieces.iter().map(|piece| endpoint.put(piece)).collect();
    let blob = FUNCTION.digest(&pieces.concat());
    assert_eq!(register(&endpoint, &blob, &chunks).await.unwrap(), blob);
    assert!(endpoint.store.read(&blob).unwrap() == pieces.concat());
    assert_eq!(mapping(&endpoint, &blob).await.unwrap(), (chunks.clone(), 0));
    // Again is no harm.
    assert_eq!(register(&endpoint, &blob, &chunks).await.unwrap(), blob);

    let reversed: Vec<Digest> = chunks.iter().rev().skip(1).copied().collect();
    let blob = FUNCTION.digest(&[&pieces[2][..], &pieces[1], &pieces[0]].concat());
    let request = SpliceBlobRequest {
        blob_digest: Some(blob.to_message()),
        chunk_digests: reversed.iter().map(Digest::to_message).collect(),
        ..Default::default()
    };
    let response = endpoint.cas().splice_blob(request).await.unwrap().into_inner();
    assert_eq!(response.blob_digest, Some(blob.to_message()));
    assert!(endpoint.has(&blob));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_that_do_not_make_the_blob_are_refused() {
    let endpoint = Endpoint::start().await;
    let (one, two) = (endpoint.put(b"one"), endpoint.put(b"two"));
    let blob = FUNCTION.digest(b"onetwo");
    let absent = FUNCTION.digest(b"six");
    assert_eq!(register(&endpoint, &blob, &[one, absent]).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(register(&endpoint, &blob, &[two, one]).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(register(&endpoint, &blob, &[one]).await.unwrap_err().code(), Code::InvalidArgument);
    let refusal = register(&endpoint, &blob, &[one; 100]).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    let none = tokio_stream::iter(Vec::<RegisterChunkMappingRequest>::new());
    let refusal = endpoint.cas().register_chunk_mapping(none).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert!(!endpoint.has(&blob));
    assert!(register(&endpoint, &blob, &[one, two]).await.is_ok());
}
