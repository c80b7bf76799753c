//! Clients that use up what files and connections a process may have open.

use std::process::Command;
use std::time::Duration;

use crosswheel::digest::DigestFunction;
use crosswheel::reapi::bytestream::WriteRequest;
use crosswheel::reapi::bytestream::byte_stream_client::ByteStreamClient;
use futures_util::{StreamExt, stream};
use tonic::Code;
use tonic_types::StatusExt;

use super::raw::connect;
use crate::support::client::{Client, end};
use crate::support::server::Server;
use crate::support::waiting::{eventually, pause_here, within};

/// A server that may have so many files open.
fn with_descriptors(directory: &std::path::Path, descriptors: usize, arguments: &[&str]) -> Server {
    let command = Server::command(directory, arguments);
    let mut limited = Command::new("sh");
    limited.arg("-c").arg(format!("ulimit -n {descriptors}; exec \"$@\"")).arg("sh");
    limited.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    Server::run(limited)
}

#[tokio::test]
async fn seven_hundred_half_open_connections_leave_descriptors_for_uploads() {
    let directory = tempfile::tempdir().unwrap();
    let server = with_descriptors(directory.path(), 256, &["--first-call-timeout", "200ms"]);
    let client = Client::of(&server).await;
    let mut held = Vec::new();
    for number in 0..700 {
        // As many clients as it takes.
        held.push(connect(server.address(), [127, 0, 1, u8::try_from(number % 250).unwrap() + 1]).await);
    }
    for number in 0..50_u8 {
        client.put(vec![number; 100_000]).await;
    }
    // And for another connection, after those that came before.
    let another = Client::of(&server).await;
    another.put(b"another".to_vec()).await;
}

/// Uploads that are never finished hold a file each. Those for which there is none are told to come back.
#[tokio::test]
async fn uploads_without_a_descriptor_are_told_to_come_back_and_no_path() {
    let directory = tempfile::tempdir().unwrap();
    let server = with_descriptors(directory.path(), 128, &[]);
    let channel = server.channel().await;
    let mut uploads = Vec::new();
    for number in 0..200_u32 {
        let digest = DigestFunction::Sha256.digest(&number.to_le_bytes());
        let id = uuid::Uuid::new_v4();
        let resource_name = format!("uploads/{id}/blobs/{}/1000000", digest.hex());
        // Little by little, so that it does not end while the others begin.
        let requests = stream::iter(0..1_000).then(move |number: i64| {
            let resource_name = resource_name.clone();
            async move {
                pause_here(Duration::from_millis(100)).await;
                let (write_offset, data) = (number * 100, vec![0; 100]);
                WriteRequest { resource_name, write_offset, finish_write: false, data }
            }
        });
        let mut client = ByteStreamClient::new(channel.clone());
        uploads.push(tokio::spawn(async move { client.write(requests).await }));
    }
    let refused = async || uploads.iter().filter(|upload| upload.is_finished()).count() >= 50;
    eventually("uploads to be refused", refused).await;
    for upload in uploads.iter_mut().filter(|upload| upload.is_finished()) {
        let refusal = within("the refusal", upload).await.unwrap().unwrap_err();
        assert!(matches!(refusal.code(), Code::Unavailable | Code::ResourceExhausted), "{refusal}");
        assert!(refusal.get_details_retry_info().is_some(), "{refusal:?}");
        assert!(!refusal.message().contains('/'), "{refusal}");
    }
    // They have not taken all there are: actions run.
    let client = Client { channel: server.channel_from([127, 0, 0, 2].into()).await };
    let action = client.action("cat input > output", &[]).await;
    let response = end(client.start(&action).await.unwrap()).await;
    assert_eq!(response.result.map(|result| result.exit_code), Some(0), "{:?}", response.status);
    uploads.iter().for_each(tokio::task::JoinHandle::abort);
}
