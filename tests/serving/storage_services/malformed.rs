//! Bytes that are no messages are the client's fault, and it is told which message and field.

use crosswheel::reapi::FindMissingBlobsRequest;
use prost::Message;
use tonic::Code;

use super::endpoint::Endpoint;

/// NativeLink answers these with NOT_FOUND or INTERNAL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_an_invalid_argument_in_every_call() {
    let endpoint = Endpoint::start().await;
    for (method, message) in [
        ("/build.bazel.remote.execution.v2.Capabilities/GetCapabilities", "GetCapabilitiesRequest"),
        (
            "/build.bazel.remote.execution.v2.ContentAddressableStorage/FindMissingBlobs",
            "FindMissingBlobsRequest",
        ),
        (
            "/build.bazel.remote.execution.v2.ContentAddressableStorage/BatchUpdateBlobs",
            "BatchUpdateBlobsRequest",
        ),
        (
            "/build.bazel.remote.execution.v2.ContentAddressableStorage/BatchReadBlobs",
            "BatchReadBlobsRequest",
        ),
        ("/build.bazel.remote.execution.v2.ContentAddressableStorage/GetTree", "GetTreeRequest"),
        ("/build.bazel.remote.execution.v2.ContentAddressableStorage/SplitBlob", "SplitBlobRequest"),
        ("/build.bazel.remote.execution.v2.ContentAddressableStorage/SpliceBlob", "SpliceBlobRequest"),
        (
            "/build.bazel.remote.execution.v2.ContentAddressableStorage/GetChunkMapping",
            "GetChunkMappingRequest",
        ),
        (
            "/build.bazel.remote.execution.v2.ContentAddressableStorage/RegisterChunkMapping",
            "RegisterChunkMappingRequest",
        ),
        ("/build.bazel.remote.execution.v2.ActionCache/GetActionResult", "GetActionResultRequest"),
        ("/build.bazel.remote.execution.v2.ActionCache/UpdateActionResult", "UpdateActionResultRequest"),
        ("/google.bytestream.ByteStream/Read", "ReadRequest"),
        ("/google.bytestream.ByteStream/Write", "WriteRequest"),
        ("/google.bytestream.ByteStream/QueryWriteStatus", "QueryWriteStatusRequest"),
    ] {
        for garbage in [&b"\xff\xff\xff\xff\xff"[..], b"\x0a\x7f", b"\x00"] {
            let refusal = endpoint.call_with_bytes(method, garbage).await.unwrap_err();
            assert_eq!(refusal.code(), Code::InvalidArgument, "{method} {garbage:?}: {refusal}");
            assert!(refusal.message().contains(message), "{method} {garbage:?}: {refusal}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_malformed_one_of_many_digests_is_named() {
    let endpoint = Endpoint::start().await;
    let request = FindMissingBlobsRequest { blob_digests: vec![Default::default(); 1], ..Default::default() };
    // A digest that ends in the middle of its hash.
    let mut bytes = request.encode_to_vec();
    bytes.extend_from_slice(&[0x12, 2, 0x0a, 64]);
    let bytes = &bytes[2..];
    let refusal = endpoint
        .call_with_bytes("/build.bazel.remote.execution.v2.ContentAddressableStorage/FindMissingBlobs", bytes)
        .await
        .unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert!(refusal.message().contains("blob_digests[0]"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_that_do_not_exist_are_unimplemented() {
    let endpoint = Endpoint::start().await;
    for method in [
        "/build.bazel.remote.execution.v2.ContentAddressableStorage/Nonsense",
        "/google.bytestream.ByteStream/Nonsense",
        "/build.bazel.remote.execution.v2.ActionCache/Nonsense",
    ] {
        let refusal = endpoint.call_with_bytes(method, b"").await.unwrap_err();
        assert_eq!(refusal.code(), Code::Unimplemented, "{method}");
    }
}
