//! Clients that would have the server remember more than it has memory for.

use crosswheel::digest::DigestFunction;
use crosswheel::reapi::content_addressable_storage_client::ContentAddressableStorageClient;
use crosswheel::reapi::execution_client::ExecutionClient;
use crosswheel::reapi::longrunning::Operation;
use crosswheel::reapi::longrunning::operations_client::OperationsClient;
use crosswheel::reapi::longrunning::{CancelOperationRequest, ListOperationsRequest};
use crosswheel::reapi::{
    Action, BatchReadBlobsRequest, BatchUpdateBlobsRequest, Command, Digest, Directory, ExecuteRequest,
    Platform, RequestMetadata, WaitExecutionRequest, batch_update_blobs_request, platform,
};
use prost::Message;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt;

use super::raw;
use crate::support::client::Client;
use crate::support::server::Server;
use crate::support::waiting::{eventually, within};

/// A server with one slot, in which something runs that does not end.
async fn occupied(directory: &std::path::Path, arguments: &[&str]) -> (Server, Client, Streaming<Operation>) {
    let arguments = [&["--pool", "native,slots=1"], arguments].concat();
    let server = Server::start(directory, &arguments);
    let client = Client::of(&server).await;
    let action = client.action("sleep 1000", &[]).await;
    let updates = client.start(&action).await.unwrap();
    let metric = "crosswheel_slots_in_use{pool=\"native\"} 1";
    eventually("the slot to be taken", async || server.get("/metrics").1.contains(metric)).await;
    (server, client, updates)
}

/// An action of which only this one is.
async fn action(client: &Client, number: usize, command: Command) -> Digest {
    let action = Action {
        command_digest: Some(client.put(command.encode_to_vec()).await),
        input_root_digest: Some(client.put(Directory::default().encode_to_vec()).await),
        salt: number.to_string().into_bytes(),
        ..Action::default()
    };
    client.put(action.encode_to_vec()).await
}

async fn execute(
    channel: &Channel,
    action: &Digest,
    metadata: Option<&RequestMetadata>,
) -> Result<Streaming<Operation>, Status> {
    let mut request =
        Request::new(ExecuteRequest { action_digest: Some(action.clone()), ..Default::default() });
    if let Some(metadata) = metadata {
        let name = "build.bazel.remote.execution.v2.requestmetadata-bin";
        request.metadata_mut().insert_bin(name, MetadataValue::from_bytes(&metadata.encode_to_vec()));
    }
    Ok(ExecutionClient::new(channel.clone()).execute(request).await?.into_inner())
}

async fn until_queued(server: &Server, count: usize) {
    let metric = format!("\ncrosswheel_queue_length {count}\n");
    eventually("all to be queued", async || server.get("/metrics").1.contains(&metric)).await;
}

fn resident_mib(server: &Server) -> usize {
    let status = fs_err::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() >> 10
}

/// A small request keeps a large command waiting, each a different one: a million arguments take twenty times as much
/// memory as they take in the store.
#[tokio::test]
async fn queued_commands_with_a_million_arguments_take_no_memory() {
    let directory = tempfile::tempdir().unwrap();
    let (server, client, _blocking) = occupied(directory.path(), &[]).await;
    let mut actions = Vec::new();
    for number in 0..20 {
        let mut arguments = vec!["x".to_owned(); 1_200_000];
        arguments[0] = number.to_string();
        actions.push(action(&client, number, Command { arguments, ..Command::default() }).await);
    }
    let before = resident_mib(&server);
    let mut waiting = Vec::new();
    for action in &actions {
        waiting.push(execute(&client.channel, action, None).await.unwrap());
    }
    until_queued(&server, actions.len()).await;
    let grown = resident_mib(&server).saturating_sub(before);
    println!("20 commands of 3.6 MB each, queued: {grown} MiB");
    assert!(grown < 128, "{grown} MiB for 20 queued actions");
}

#[tokio::test]
async fn queued_requests_with_108_kilobytes_of_metadata_keep_little_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let (server, client, _blocking) = occupied(directory.path(), &[]).await;
    let text = "x".repeat(18_000);
    let metadata = RequestMetadata {
        action_id: text.clone(),
        tool_invocation_id: text.clone(),
        correlated_invocations_id: text.clone(),
        action_mnemonic: text.clone(),
        target_id: text.clone(),
        configuration_id: text,
        ..Default::default()
    };
    let mut actions = Vec::new();
    for number in 0..500 {
        actions.push(action(&client, number, Command::default()).await);
    }
    let before = resident_mib(&server);
    let mut waiting = Vec::new();
    for action in &actions {
        waiting.push(execute(&client.channel, action, Some(&metadata)).await.unwrap());
    }
    until_queued(&server, actions.len()).await;
    let grown = resident_mib(&server).saturating_sub(before);
    println!("500 queued actions with 108 kB of metadata each: {grown} MiB");
    assert!(grown < 40, "{grown} MiB for 500 queued actions");
}

/// Whatever is remembered of operations has a bound, and who meets it is told which.
#[tokio::test]
async fn a_queue_without_memory_left_says_which_setting_bounds_it_and_when_to_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let (_server, client, _blocking) = occupied(directory.path(), &["--max-queue-bytes", "64KiB"]).await;
    let mut waiting = Vec::new();
    let refusal = loop {
        assert!(waiting.len() < 64, "nothing bounds the memory of the queue");
        let action = action(&client, waiting.len(), Command::default()).await;
        match execute(&client.channel, &action, None).await {
            Ok(updates) => waiting.push(updates),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");
    assert!(refusal.message().contains("max-queue-bytes"), "{refusal}");
    assert!(refusal.get_details_retry_info().is_some(), "{refusal:?}");
    assert!(waiting.len() >= 8, "{} actions fill 64 KiB", waiting.len());
}

/// Every listener costs memory, and is woken at every change.
#[tokio::test]
async fn nobody_waits_for_one_operation_ten_thousand_times() {
    let directory = tempfile::tempdir().unwrap();
    let (_server, client, mut blocking) = occupied(directory.path(), &[]).await;
    let name = within("the operation", blocking.message()).await.unwrap().unwrap().name;
    let mut waiting = Vec::new();
    let refusal = loop {
        assert!(waiting.len() < 10_000, "nothing bounds how many wait for one operation");
        let request = WaitExecutionRequest { name: name.clone() };
        match ExecutionClient::new(client.channel.clone()).wait_execution(request).await {
            Ok(updates) => waiting.push(updates),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");
    assert!(refusal.get_details_retry_info().is_some(), "{refusal:?}");
    // Those that leave make room for others.
    drop(waiting);
    let again = async || {
        let request = WaitExecutionRequest { name: name.clone() };
        ExecutionClient::new(client.channel.clone()).wait_execution(request).await.is_ok()
    };
    eventually("room for one more", again).await;
    let request = CancelOperationRequest { name };
    OperationsClient::new(client.channel).cancel_operation(request).await.unwrap();
}

#[tokio::test]
async fn a_giant_platform_is_refused_in_few_words() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let client = Client::of(&server).await;
    let property = |number: usize| platform::Property { name: format!("p{number}"), value: "v".repeat(20) };
    for (count, code) in [(100_000, Code::InvalidArgument), (300, Code::FailedPrecondition)] {
        let action = Action {
            command_digest: Some(client.put(Command::default().encode_to_vec()).await),
            input_root_digest: Some(client.put(Directory::default().encode_to_vec()).await),
            platform: Some(Platform { properties: (0..count).map(property).collect() }),
            ..Action::default()
        };
        let action = client.put(action.encode_to_vec()).await;
        // Many clients take no more than 8 KiB of trailers.
        let refusal = execute(&client.channel, &action, None).await.unwrap_err();
        assert_eq!(refusal.code(), code, "{refusal}");
        let mut trailers = http::HeaderMap::new();
        refusal.add_header(&mut trailers).unwrap();
        let bytes: usize = trailers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        assert!(bytes < 8 << 10, "{bytes} bytes of refusal for {count} properties");
    }
}

#[tokio::test]
async fn an_instance_with_a_name_of_a_megabyte_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let client = Client::of(&server).await;
    let action = action(&client, 0, Command::default()).await;
    let instance_name = "x".repeat(1 << 20);
    let request = ExecuteRequest { instance_name, action_digest: Some(action), ..Default::default() };
    let refusal = ExecutionClient::new(client.channel.clone()).execute(request).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert!(refusal.message().starts_with("instance_name"), "{refusal}");
    let filter = "pool=x ".repeat(100_000);
    let request = ListOperationsRequest { filter, ..Default::default() };
    let refusal = OperationsClient::new(client.channel).list_operations(request).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert!(refusal.message().starts_with("filter"), "{refusal}");
}

/// Each call may be as large as a batch of everything, and none of them ever ends.
#[tokio::test]
async fn requests_that_are_never_finished_take_no_more_than_their_share() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--max-call-bytes", "128MiB"]);
    let client = Client::of(&server).await;
    let before = resident_mib(&server);
    let mut calls = Vec::new();
    for _ in 0..12 {
        let channel = server.channel().await;
        calls.push(tokio::spawn(raw::unfinished_call(channel, 48 << 20, 40 << 20)));
    }
    let refused = async || calls.iter().filter(|call| call.is_finished()).count() >= 8;
    eventually("those without room to be refused", refused).await;
    for call in calls.iter_mut().filter(|call| call.is_finished()) {
        let refusal = call.await.unwrap();
        assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");
        assert!(refusal.message().contains("max-call-bytes"), "{refusal}");
        assert!(refusal.get_details_retry_info().is_some(), "{refusal:?}");
    }
    let grown = resident_mib(&server).saturating_sub(before);
    println!("12 unfinished requests of 40 MiB each: {grown} MiB");
    assert!(grown < 256, "{grown} MiB for unfinished requests");
    // Others are served once they have gone.
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    let served = async || {
        let data = vec![7; 1 << 20];
        let digest = Some(DigestFunction::Sha256.digest(&data).to_message());
        let request = batch_update_blobs_request::Request { digest, data, ..Default::default() };
        let request = BatchUpdateBlobsRequest { requests: vec![request], ..Default::default() };
        ContentAddressableStorageClient::new(client.channel.clone()).batch_update_blobs(request).await.is_ok()
    };
    eventually("others to be served", served).await;
}

/// Each batch is as large as a batch may be, and the client lets nothing of it through.
#[tokio::test]
async fn answers_that_nobody_reads_take_no_more_than_their_share() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--max-call-bytes", "128MiB"]);
    let client = Client::of(&server).await;
    let digest = client.put(vec![7; 3_900_000]).await;
    let before = resident_mib(&server);
    let request = BatchReadBlobsRequest { digests: vec![digest], ..Default::default() }.encode_to_vec();
    let mut message = vec![0];
    message.extend_from_slice(&u32::try_from(request.len()).unwrap().to_be_bytes());
    message.extend_from_slice(&request);
    let call = raw::headers("/build.bazel.remote.execution.v2.ContentAddressableStorage/BatchReadBlobs");
    // An initial window of nothing.
    let mut said = [raw::PREFACE, &raw::frame(raw::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat();
    for number in 0..300 {
        said.extend(raw::frame(raw::HEADERS, raw::END_HEADERS, 2 * number + 1, &call));
        said.extend(raw::frame(raw::DATA, raw::END_STREAM, 2 * number + 1, &message));
    }
    let mut connection = raw::connect(server.address(), [127, 0, 0, 2]).await;
    raw::write_all(&mut connection, &said).await.unwrap();
    let method = "build.bazel.remote.execution.v2.ContentAddressableStorage/BatchReadBlobs";
    let held = format!("crosswheel_calls_total{{method=\"{method}\",code=\"RESOURCE_EXHAUSTED\"}} ");
    // All have an answer by now, or have been refused one.
    eventually("most to be refused", async || {
        let (_, metrics) = server.get("/metrics");
        let refused = metrics.lines().find_map(|line| line.strip_prefix(&held));
        refused.is_some_and(|count| count.parse::<usize>().unwrap() >= 270)
    })
    .await;
    let grown = resident_mib(&server).saturating_sub(before);
    println!("300 unread answers of 3.9 MB each: {grown} MiB");
    assert!(grown < 400, "{grown} MiB for answers that nobody reads");
    // Others get theirs.
    assert_eq!(
        client.read(&DigestFunction::Sha256.digest(&[7; 3_900_000]).to_message()).await.len(),
        3_900_000
    );
}
