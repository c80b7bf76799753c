//! `kill -9` of a server that is in the middle of everything, and the server after it on the same store.

use std::path::Path;

use crosswheel::digest::DigestFunction;
use crosswheel::reapi::FindMissingBlobsRequest;
use crosswheel::reapi::bytestream::byte_stream_client::ByteStreamClient;
use crosswheel::reapi::bytestream::{QueryWriteStatusRequest, WriteRequest};
use crosswheel::reapi::content_addressable_storage_client::ContentAddressableStorageClient;

use crate::support::client::{Client, end};
use crate::support::processes::{processes_marked, token};
use crate::support::server::Server;
use crate::support::waiting::{eventually, within};

#[tokio::test]
async fn a_killed_server_leaves_no_process_and_the_next_one_serves_nothing_half_written() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let client = Client::of(&server).await;
    let whole = client.put(b"stored before".to_vec()).await;

    // An action that has left its session, and one of whose processes has left its parent.
    let token = token();
    let script = format!("(setsid sh -c 'sleep 1000000 # {token}' &) ; sleep 1000000 # {token}");
    let action = client.action(&script, &[]).await;
    let mut updates = client.start(&action).await.unwrap();
    // Keeps somebody listening.
    let _first = within("an update", updates.message()).await.unwrap().unwrap();
    eventually("both processes of the action", async || processes_marked(&token).len() >= 2).await;

    // An upload of which half has come.
    let blob = vec![7_u8; 2 << 20];
    let digest = DigestFunction::Sha256.digest(&blob);
    let name = format!("uploads/{}/blobs/{digest}", uuid::Uuid::new_v4());
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let first = WriteRequest {
        resource_name: name.clone(),
        write_offset: 0,
        finish_write: false,
        data: blob[..1 << 20].to_vec(),
    };
    sender.send(first).await.unwrap();
    let mut writer = ByteStreamClient::new(client.channel.clone());
    let writing =
        tokio::spawn(
            async move { writer.write(tokio_stream::wrappers::ReceiverStream::new(receiver)).await },
        );
    let mut asking = ByteStreamClient::new(client.channel.clone());
    eventually("a part of the upload to be committed", async || {
        let request = QueryWriteStatusRequest { resource_name: name.clone() };
        asking.query_write_status(request).await.unwrap().into_inner().committed_size > 0
    })
    .await;

    server.kill();
    within("the upload to fail", writing).await.unwrap().unwrap_err();
    drop(sender);
    eventually("the action's processes to end", async || processes_marked(&token).is_empty()).await;

    let server = Server::start(directory.path(), &[]);
    let client = Client::of(&server).await;
    assert_eq!(client.read(&whole).await, b"stored before");
    let half = DigestFunction::Sha256.digest(&blob[..1 << 20]);
    let blob_digests = [digest, half].iter().map(|digest| digest.to_message()).collect();
    let request = FindMissingBlobsRequest { blob_digests, ..Default::default() };
    let mut storage = ContentAddressableStorageClient::new(client.channel.clone());
    let missing = storage.find_missing_blobs(request).await.unwrap().into_inner().missing_blob_digests;
    assert_eq!(missing.len(), 2);
    let unfinished = directory.path().join("store/tmp");
    eventually("half an upload to be swept", async || files_below(&unfinished) == 0).await;

    // Everything can be done again.
    client.put(blob.clone()).await;
    assert!(client.read(&digest.to_message()).await == blob);
    let action = client.action("cat input > output", &[]).await;
    let response = end(client.start(&action).await.unwrap()).await;
    assert_eq!(response.status.unwrap_or_default().code, 0, "{}", response.message);
    assert_eq!(response.result.unwrap().exit_code, 0);
}

fn files_below(directory: &Path) -> usize {
    let Ok(entries) = fs_err::read_dir(directory) else { return 0 };
    let count = |entry: fs_err::DirEntry| {
        if entry.path().is_dir() { files_below(&entry.path()) } else { 1 }
    };
    entries.filter_map(Result::ok).map(count).sum()
}
