//! ByteStream.Read.

use crosswheel::cas::BlobStore;
use crosswheel::digest::{Digest, DigestFunction};
use crosswheel::reapi::bytestream::ReadRequest;
use tonic::{Code, Request, Status};

use super::endpoint::{Endpoint, noise};
use crate::support::waiting::{messages, within};

async fn read_range(endpoint: &Endpoint, name: String, offset: i64, limit: i64) -> Result<Vec<u8>, Status> {
    let request = ReadRequest { resource_name: name, read_offset: offset, read_limit: limit };
    let stream = endpoint.byte_stream().read(request).await?.into_inner();
    let pieces = messages("the end of the blob", stream).await?;
    Ok(pieces.into_iter().flat_map(|piece| piece.data).collect())
}

async fn read(endpoint: &Endpoint, name: String) -> Result<Vec<u8>, Status> {
    read_range(endpoint, name, 0, 0).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_of_all_sizes_come_back_under_all_names() {
    let endpoint = Endpoint::start().await;
    for length in [0, 1, 1000, 256 << 10, (256 << 10) + 1, 3_000_000] {
        let bytes = noise(length, 1);
        let digest = endpoint.put(&bytes);
        for name in [format!("blobs/{digest}"), format!("some/instance/blobs/{digest}")] {
            assert!(read(&endpoint, name).await.unwrap() == bytes, "{length}");
        }
        for name in [format!("compressed-blobs/zstd/{digest}"), format!("i/compressed-blobs/zstd/{digest}")] {
            let compressed = read(&endpoint, name).await.unwrap();
            assert!(zstd::stream::decode_all(&compressed[..]).unwrap() == bytes, "{length}");
        }
        let blake3 = DigestFunction::Blake3.digest(&bytes);
        endpoint.store.write(&blake3, bytes.clone().into()).unwrap();
        assert!(read(&endpoint, format!("blobs/blake3/{blake3}")).await.unwrap() == bytes, "{length}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_are_those_asked_for() {
    let endpoint = Endpoint::start().await;
    let bytes = noise(1_000_000, 2);
    let digest = endpoint.put(&bytes);
    let name = format!("blobs/{digest}");
    for (offset, limit) in
        [(0, 1), (1, 0), (999_999, 0), (300_000, 400_000), (5, 999_999_999), (1_000_000, 0)]
    {
        let expected = &bytes[offset..if limit == 0 { bytes.len() } else { bytes.len().min(offset + limit) }];
        let range = read_range(&endpoint, name.clone(), offset as i64, limit as i64).await.unwrap();
        assert!(range == expected, "{offset} {limit}");
        if limit == 0 {
            let name = format!("compressed-blobs/zstd/{digest}");
            let compressed = read_range(&endpoint, name, offset as i64, 0).await.unwrap();
            assert!(zstd::stream::decode_all(&compressed[..]).unwrap() == expected, "{offset}");
        }
    }
}

/// NativeLink says OK to a read past the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_that_cannot_be_are_refused() {
    let endpoint = Endpoint::start().await;
    let digest = endpoint.put(b"0123456789");
    let (plain, zstd) = (format!("blobs/{digest}"), format!("compressed-blobs/zstd/{digest}"));
    for (name, offset, limit, code) in [
        (&plain, 11, 0, Code::OutOfRange),
        (&plain, -1, 0, Code::OutOfRange),
        (&plain, 0, -1, Code::InvalidArgument),
        (&zstd, 11, 0, Code::OutOfRange),
        (&zstd, 0, 5, Code::InvalidArgument),
    ] {
        let refusal = read_range(&endpoint, name.clone(), offset, limit).await.unwrap_err();
        assert_eq!(refusal.code(), code, "{name} {offset} {limit}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_not_found_and_what_names_nothing_is_invalid() {
    let endpoint = Endpoint::start().await;
    let digest = endpoint.put(b"present");
    let absent = DigestFunction::Sha256.digest(b"absent");
    let other_size = Digest { size_bytes: 8, ..digest };
    let no_empty = Digest { size_bytes: 0, ..digest };
    for name in [
        format!("blobs/{absent}"),
        format!("compressed-blobs/zstd/{absent}"),
        format!("blobs/{other_size}"),
        format!("blobs/{no_empty}"),
        format!("blobs/blake3/{digest}"),
    ] {
        assert_eq!(read(&endpoint, name.clone()).await.unwrap_err().code(), Code::NotFound, "{name}");
    }
    for name in [
        String::new(),
        format!("{digest}"),
        format!("blobs/{digest}/more"),
        format!("compressed-blobs/deflate/{digest}"),
        format!("compressed-blobs/{digest}"),
        format!("uploads/blobs/{digest}"),
        format!("blobs/md5/{digest}"),
    ] {
        let refusal = read(&endpoint, name.clone()).await.unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidArgument, "{name}");
        assert!(refusal.message().contains("resource_name"), "{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_resource_name_header_has_to_agree() {
    let endpoint = Endpoint::start().await;
    let digest = endpoint.put(b"present");
    let name = format!("blobs/{digest}");
    for (header, code) in [(name.clone(), Code::Ok), ("blobs/other/1".into(), Code::InvalidArgument)] {
        let request = ReadRequest { resource_name: name.clone(), ..Default::default() };
        let mut request = Request::new(request);
        let header = header.parse().unwrap();
        request.metadata_mut().insert("build.bazel.remote.execution.v2.resource-name", header);
        let code_of =
            endpoint.byte_stream().read(request).await.map_or_else(|refusal| refusal.code(), |_| Code::Ok);
        assert_eq!(code_of, code);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_read_at_once() {
    let endpoint = Endpoint::start().await;
    let bytes = noise(5_000_000, 4);
    let digest = endpoint.put(&bytes);
    let name = format!("blobs/{digest}");
    let reads = (0..16).map(|_| read(&endpoint, name.clone()));
    for read in within("all readers", futures_util::future::join_all(reads)).await {
        assert!(read.unwrap() == bytes);
    }
}
