//! ByteStream.Write and QueryWriteStatus.

use std::time::Duration;

use crosswheel::digest::{Digest, DigestFunction};
use crosswheel::reapi::bytestream::byte_stream_client::ByteStreamClient;
use crosswheel::reapi::bytestream::{QueryWriteStatusRequest, QueryWriteStatusResponse, WriteRequest};
use crosswheel::server::StorageSettings;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::endpoint::{Endpoint, noise};
use crate::support::waiting::{eventually, within};

fn sha256(bytes: &[u8]) -> Digest {
    DigestFunction::Sha256.digest(bytes)
}

/// The messages of an upload of `bytes` from `offset` on, as Bazel sends them: the name in the first one only.
fn messages(name: &str, bytes: &[u8], offset: i64, piece: usize) -> Vec<WriteRequest> {
    let mut messages: Vec<WriteRequest> = bytes
        .chunks(piece)
        .enumerate()
        .map(|(index, data)| WriteRequest {
            resource_name: if index == 0 { name.to_owned() } else { String::new() },
            write_offset: offset + (index * piece) as i64,
            finish_write: (index + 1) * piece >= bytes.len(),
            data: data.to_vec(),
        })
        .collect();
    if messages.is_empty() {
        messages.push(WriteRequest {
            resource_name: name.to_owned(),
            finish_write: true,
            ..Default::default()
        });
    }
    messages
}

async fn send(endpoint: &Endpoint, messages: Vec<WriteRequest>) -> Result<i64, Status> {
    Ok(endpoint.byte_stream().write(tokio_stream::iter(messages)).await?.into_inner().committed_size)
}

async fn query(endpoint: &Endpoint, name: &str) -> Result<QueryWriteStatusResponse, Status> {
    let request = QueryWriteStatusRequest { resource_name: name.to_owned() };
    Ok(endpoint.byte_stream().query_write_status(request).await?.into_inner())
}

/// Waits until as much of an upload is committed.
async fn committed(endpoint: &Endpoint, name: &str, bytes: i64) {
    let is_committed = async || query(endpoint, name).await.unwrap().committed_size >= bytes;
    eventually("the bytes to be committed", is_committed).await;
}

/// An upload that is held open.
struct OpenUpload {
    messages: mpsc::Sender<WriteRequest>,
    answer: tokio::task::JoinHandle<Result<i64, Status>>,
}

impl OpenUpload {
    fn start(channel: Channel) -> Self {
        let (messages, receiver) = mpsc::channel(16);
        let answer = tokio::spawn(async move {
            let response = ByteStreamClient::new(channel).write(ReceiverStream::new(receiver)).await?;
            Ok(response.into_inner().committed_size)
        });
        Self { messages, answer }
    }

    async fn send(&self, message: WriteRequest) {
        within("room for a message", self.messages.send(message)).await.unwrap();
    }

    async fn answer(self) -> Result<i64, Status> {
        within("the answer to an upload", self.answer).await.unwrap()
    }
}

fn unfinished(name: &str, data: &[u8]) -> WriteRequest {
    WriteRequest { resource_name: name.to_owned(), data: data.to_vec(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_of_all_sizes_are_stored_however_they_are_cut() {
    let endpoint = Endpoint::start().await;
    for (index, (length, piece)) in [
        (0, 1),
        (1, 1),
        (1000, 7),
        (100_000, 16 << 10),
        (100_000, 1 << 20),
        (3_000_000, 16 << 10),
        (10_000_000, 2 << 20),
    ]
    .into_iter()
    .enumerate()
    {
        let bytes = noise(length, index as u64);
        let digest = sha256(&bytes);
        let name = format!("my/instance/uploads/{index}/blobs/{digest}/src/main.c");
        assert_eq!(send(&endpoint, messages(&name, &bytes, 0, piece)).await.unwrap(), length as i64);
        assert!(endpoint.has(&digest), "{length} {piece}");
        let status = query(&endpoint, &name).await.unwrap();
        assert_eq!((status.committed_size, status.complete), (length as i64, true));

        let blake3 = DigestFunction::Blake3.digest(&bytes);
        let name = format!("uploads/{index}/blobs/blake3/{blake3}");
        assert_eq!(send(&endpoint, messages(&name, &bytes, 0, piece)).await.unwrap(), length as i64);
        assert!(endpoint.has(&blake3), "{length} {piece}");
    }
    assert_eq!(endpoint.unfinished_files(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_uploads_are_verified_as_what_they_become() {
    let endpoint = Endpoint::start().await;
    for (length, piece) in [(1, 100), (5000, 3), (3_000_000, 16 << 10)] {
        let bytes = b"crosswheel ".repeat(length / 11 + 1);
        let digest = sha256(&bytes);
        let compressed = zstd::bulk::compress(&bytes, 3).unwrap();
        let name = format!("uploads/u/compressed-blobs/zstd/{digest}");
        let committed = send(&endpoint, messages(&name, &compressed, 0, piece)).await.unwrap();
        assert_eq!(committed, compressed.len() as i64);
        assert!(endpoint.has(&digest));
        // A blob that exists is answered with -1, whatever is sent.
        assert_eq!(send(&endpoint, messages(&name, &compressed, 0, piece)).await.unwrap(), -1);
    }
}

/// NativeLink never ends early.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_that_exists_is_answered_before_its_bytes_are_sent() {
    let endpoint = Endpoint::start().await;
    let bytes = noise(10_000_000, 1);
    let digest = endpoint.put(&bytes);
    let upload = OpenUpload::start(endpoint.channel.clone());
    upload.send(unfinished(&format!("uploads/u/blobs/{digest}"), &bytes[..1000])).await;
    assert_eq!(upload.answer().await.unwrap(), 10_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_that_somebody_else_completes_meanwhile_ends_the_upload() {
    let endpoint = Endpoint::start().await;
    let bytes = noise(3_000_000, 1);
    let digest = sha256(&bytes);
    let name = format!("uploads/slow/blobs/{digest}");
    let upload = OpenUpload::start(endpoint.channel.clone());
    upload.send(unfinished(&name, &bytes[..1_000_000])).await;
    committed(&endpoint, &name, 1_000_000).await;
    endpoint.put(&bytes);
    let next = WriteRequest { write_offset: 1_000_000, ..unfinished("", &bytes[1_000_000..2_000_000]) };
    upload.send(next).await;
    assert_eq!(upload.answer().await.unwrap(), 3_000_000);
    assert_eq!(endpoint.unfinished_files(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_bytes_are_refused_and_leave_nothing() {
    let endpoint = Endpoint::start().await;
    for (case, length) in [100, 2_000_000].into_iter().enumerate() {
        let (bytes, other) = (noise(length, 1), noise(length, 2));
        let digest = sha256(&bytes);
        let name = format!("uploads/{case}/blobs/{digest}");
        let longer = [&bytes[..], b"more"].concat();
        for wrong in [&other[..], &bytes[..length - 1], &longer] {
            let refusal = send(&endpoint, messages(&name, wrong, 0, 50_000)).await.unwrap_err();
            assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal}");
            assert!(!endpoint.has(&digest));
            let zstd_name = format!("uploads/{case}/compressed-blobs/zstd/{digest}");
            let compressed = zstd::bulk::compress(wrong, 1).unwrap();
            let refusal = send(&endpoint, messages(&zstd_name, &compressed, 0, 50_000)).await.unwrap_err();
            assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal}");
            assert!(!endpoint.has(&digest));
        }
        // It can be done right after that.
        send(&endpoint, messages(&name, &bytes, 0, 50_000)).await.unwrap();
        assert!(endpoint.has(&digest));
    }
    assert_eq!(endpoint.unfinished_files(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_bomb_stops_at_the_size_of_its_digest() {
    let endpoint = Endpoint::start().await;
    let bomb = zstd::bulk::compress(&vec![0; 200 << 20], 3).unwrap();
    let digest = sha256(&[0; 1000]);
    let name = format!("uploads/u/compressed-blobs/zstd/{digest}");
    let refusal = send(&endpoint, messages(&name, &bomb, 0, 1000)).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert!(refusal.message().contains("1000 bytes"), "{refusal}");
    for nonsense in [&b"this is not zstd"[..], &bomb[..bomb.len() - 3]] {
        let name = format!("uploads/u/compressed-blobs/zstd/{}", sha256(&vec![0; 200 << 20]));
        let refusal = send(&endpoint, messages(&name, nonsense, 0, 1000)).await.unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidArgument);
    }
    assert_eq!(endpoint.unfinished_files(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_disappears_goes_on_where_it_was() {
    let endpoint = Endpoint::start().await;
    let bytes = noise(3_000_000, 1);
    let digest = sha256(&bytes);
    let name = format!("uploads/u/blobs/{digest}");
    assert_eq!(query(&endpoint, &name).await.unwrap(), QueryWriteStatusResponse::default());
    {
        let channel = endpoint.another_channel().await;
        let upload = OpenUpload::start(channel);
        upload.send(unfinished(&name, &bytes[..1_500_001])).await;
        committed(&endpoint, &name, 1_500_001).await;
        // The connection goes with it.
        upload.answer.abort();
    }
    let status = query(&endpoint, &name).await.unwrap();
    assert_eq!((status.committed_size, status.complete), (1_500_001, false));
    let rest = messages(&name, &bytes[1_500_001..], 1_500_001, 100_000);
    assert_eq!(send(&endpoint, rest).await.unwrap(), 3_000_000);
    assert!(endpoint.has(&digest));
    assert_eq!(endpoint.unfinished_files(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compressed_upload_goes_on_with_a_new_frame_at_the_uncompressed_offset() {
    let endpoint = Endpoint::start().await;
    let bytes = noise(2_000_000, 1);
    let digest = sha256(&bytes);
    let name = format!("uploads/u/compressed-blobs/zstd/{digest}");
    let first = zstd::bulk::compress(&bytes[..700_000], 1).unwrap();
    let upload = OpenUpload::start(endpoint.channel.clone());
    upload.send(unfinished(&name, &first)).await;
    committed(&endpoint, &name, 700_000).await;
    drop(upload.messages);
    assert_eq!(within("the answer to half an upload", upload.answer).await.unwrap().unwrap(), 700_000);
    let rest = zstd::bulk::compress(&bytes[700_000..], 1).unwrap();
    send(&endpoint, messages(&name, &rest, 700_000, 10_000)).await.unwrap();
    assert!(endpoint.has(&digest));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_not_finished_is_answered_with_what_there_is() {
    let endpoint = Endpoint::start().await;
    let bytes = noise(1000, 1);
    let digest = sha256(&bytes);
    let name = format!("uploads/u/blobs/{digest}");
    assert_eq!(send(&endpoint, vec![unfinished(&name, &bytes[..400])]).await.unwrap(), 400);
    assert!(!endpoint.has(&digest));
    let status = query(&endpoint, &name).await.unwrap();
    assert_eq!((status.committed_size, status.complete), (400, false));
    // Another upload of the same blob knows nothing of it.
    let other = format!("uploads/other/blobs/{digest}");
    assert_eq!(query(&endpoint, &other).await.unwrap().committed_size, 0);
    // One that begins at 0 begins anew.
    assert_eq!(send(&endpoint, messages(&name, &bytes, 0, 300)).await.unwrap(), 1000);
    assert!(endpoint.has(&digest));
}

/// A client may come back before the server has noticed that its old connection is dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_stream_takes_an_upload_over_from_an_old_one() {
    let endpoint = Endpoint::start().await;
    let bytes = noise(1_000_000, 1);
    let digest = sha256(&bytes);
    let name = format!("uploads/u/blobs/{digest}");
    let old = OpenUpload::start(endpoint.another_channel().await);
    old.send(unfinished(&name, &bytes[..600_000])).await;
    committed(&endpoint, &name, 600_000).await;
    let rest = messages(&name, &bytes[600_000..], 600_000, 100_000);
    assert_eq!(send(&endpoint, rest).await.unwrap(), 1_000_000);
    assert_eq!(old.answer().await.unwrap_err().code(), Code::Aborted);
    assert!(endpoint.has(&digest));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_do_not_follow_each_other_are_refused() {
    let endpoint = Endpoint::start().await;
    let bytes = noise(1000, 1);
    let digest = sha256(&bytes);
    let name = format!("uploads/u/blobs/{digest}");
    let other = format!("uploads/v/blobs/{digest}");
    let next = |name: &str, write_offset| WriteRequest { write_offset, ..unfinished(name, &bytes[500..600]) };
    for (messages, field) in [
        (vec![], "WriteRequest"),
        (vec![unfinished("", &bytes)], "resource_name"),
        (vec![unfinished("blobs/of/nothing", &bytes)], "resource_name"),
        (vec![next(&name, 500)], "write_offset"),
        (vec![next(&name, -1)], "write_offset"),
        (vec![unfinished(&name, &bytes[..500]), next("", 499)], "write_offset"),
        (vec![unfinished(&name, &bytes[..500]), next("", 501)], "write_offset"),
        (vec![unfinished(&name, &bytes[..500]), next("", 0)], "write_offset"),
        (vec![unfinished(&name, &bytes[..500]), next(&other, 500)], "resource_name"),
        (vec![unfinished(&name, &bytes), next("", 1000)], "data"),
    ] {
        let refusal = send(&endpoint, messages).await.unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal}");
        assert!(refusal.message().contains(field), "{field}: {refusal}");
    }
    // The name may be repeated.
    let messages = vec![
        unfinished(&name, &bytes[..500]),
        WriteRequest { finish_write: true, write_offset: 500, ..unfinished(&name, &bytes[500..]) },
    ];
    assert_eq!(send(&endpoint, messages).await.unwrap(), 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_that_nobody_goes_on_with_expire() {
    let settings =
        StorageSettings { idle_upload_timeout: Duration::from_millis(50), ..StorageSettings::default() };
    let endpoint = Endpoint::start_with(settings).await;
    let bytes = noise(1_000_000, 1);
    let digest = sha256(&bytes);
    let name = format!("uploads/u/blobs/{digest}");
    let upload = OpenUpload::start(endpoint.channel.clone());
    upload.send(unfinished(&name, &bytes[..600_000])).await;
    drop(upload.messages);
    assert_eq!(within("the answer to half an upload", upload.answer).await.unwrap().unwrap(), 600_000);
    eventually("the upload to expire", async || endpoint.unfinished_files() == 0).await;
    assert_eq!(query(&endpoint, &name).await.unwrap().committed_size, 0);
    let rest = messages(&name, &bytes[600_000..], 600_000, 100_000);
    assert_eq!(send(&endpoint, rest).await.unwrap_err().code(), Code::InvalidArgument);
}

/// Whoever claims a large blob and then sends nothing keeps its room from others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_without_bytes_is_ended_and_its_room_freed() {
    let settings =
        StorageSettings { idle_upload_timeout: Duration::from_millis(300), ..StorageSettings::default() };
    let endpoint = Endpoint::start_with(settings).await;
    let bytes = noise(1_000_000, 1);
    let name = format!("uploads/u/blobs/{}", sha256(&bytes));
    for empty_messages in [false, true] {
        let upload = OpenUpload::start(endpoint.channel.clone());
        upload.send(unfinished(&name, &bytes[..600_000])).await;
        eventually("the stream to be ended", async || {
            if empty_messages && !upload.answer.is_finished() {
                let empty = WriteRequest { write_offset: 600_000, ..WriteRequest::default() };
                // Refused once the stream has been ended.
                let _ = upload.messages.send(empty).await;
            }
            upload.answer.is_finished()
        })
        .await;
        let OpenUpload { messages: _open, answer } = upload;
        let ended = within("the answer to the upload", answer).await.unwrap().unwrap_err();
        assert_eq!(ended.code(), Code::DeadlineExceeded, "{ended}");
        assert!(ended.message().contains("upload-idle-timeout"), "{ended}");
        assert_eq!(endpoint.unfinished_files(), 0);
        assert_eq!(query(&endpoint, &name).await.unwrap().committed_size, 0);
    }
    assert_eq!(send(&endpoint, messages(&name, &bytes, 0, 100_000)).await.unwrap(), 1_000_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_upload_one_blob_at_once() {
    let endpoint = Endpoint::start().await;
    let bytes = noise(4_000_000, 1);
    let digest = sha256(&bytes);
    let uploads = (0..12).map(|index| {
        let (name, sent) = if index % 3 == 0 {
            let compressed = zstd::bulk::compress(&bytes, 1).unwrap();
            (format!("uploads/{index}/compressed-blobs/zstd/{digest}"), compressed)
        } else {
            (format!("uploads/{index}/blobs/{digest}"), bytes.clone())
        };
        send(&endpoint, messages(&name, &sent, 0, 64 << 10))
    });
    for outcome in within("all uploads", futures_util::future::join_all(uploads)).await {
        let committed = outcome.unwrap();
        assert!(committed == -1 || committed >= 4_000_000, "{committed}");
    }
    assert!(endpoint.has(&digest));
    // Those that came second are answered before their files are removed.
    eventually("the other uploads to be removed", async || endpoint.unfinished_files() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_larger_than_the_server_takes_are_refused_at_once() {
    let settings = StorageSettings { max_blob_bytes: Some(1000), ..StorageSettings::default() };
    let endpoint = Endpoint::start_with(settings).await;
    let name = format!("uploads/u/blobs/{}", Digest { size_bytes: 1001, ..sha256(b"") });
    let refusal = send(&endpoint, vec![unfinished(&name, b"a")]).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert!(refusal.message().contains("max_cas_blob_size_bytes"), "{refusal}");
}
