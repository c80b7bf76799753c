//! Actions from upload to result, through everything that is between.

use crosswheel::digest::DigestFunction;
use crosswheel::reapi::action_cache_client::ActionCacheClient;
use crosswheel::reapi::bytestream::ReadRequest;
use crosswheel::reapi::bytestream::byte_stream_client::ByteStreamClient;
use crosswheel::reapi::capabilities_client::CapabilitiesClient;
use crosswheel::reapi::content_addressable_storage_client::ContentAddressableStorageClient;
use crosswheel::reapi::{
    BatchUpdateBlobsRequest, Command, ExecuteOperationMetadata, GetActionResultRequest,
    GetCapabilitiesRequest, batch_update_blobs_request,
};
use prost::Message;
use rustix::process::Signal;
use tonic::{Code, Streaming};

use crate::support::client::{Client, command, end};
use crate::support::server::Server;
use crate::support::waiting::{eventually, within};

fn metric(server: &Server, series: &str) -> f64 {
    let (_, text) = server.get("/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in:\n{text}")).parse().unwrap()
}

#[tokio::test]
async fn an_action_runs_and_its_result_is_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let client = Client::of(&server).await;
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let action = client.action("tr a-z A-Z < input > output", &[("Arch", arch), ("OSFamily", "linux")]).await;

    let response = end(client.start(&action).await.unwrap()).await;
    assert_eq!(response.status.unwrap_or_default().code, 0, "{}", response.message);
    assert!(!response.cached_result);
    let result = response.result.unwrap();
    assert_eq!(result.exit_code, 0, "{}", String::from_utf8_lossy(&result.stderr_raw));
    assert_eq!(result.output_files[0].path, "output");
    assert_eq!(client.read(result.output_files[0].digest.as_ref().unwrap()).await, b"WHAT GOES IN");
    assert!(result.execution_metadata.unwrap().worker.starts_with("native/"));

    let request = GetActionResultRequest { action_digest: Some(action.clone()), ..Default::default() };
    let found = ActionCacheClient::new(client.channel.clone()).get_action_result(request).await.unwrap();
    assert_eq!(found.into_inner().output_files, result.output_files);
    let again = end(client.start(&action).await.unwrap()).await;
    assert!(again.cached_result);

    let ended = |outcome: &str| {
        metric(&server, &format!("crosswheel_operations_ended_total{{outcome=\"{outcome}\"}}"))
    };
    assert_eq!((ended("succeeded"), ended("cached")), (1.0, 1.0));
    let stage = "crosswheel_action_stage_seconds_count{pool=\"native\",stage=\"running\"}";
    assert_eq!(metric(&server, stage), 1.0);
    assert_eq!(metric(&server, "crosswheel_action_peak_memory_bytes_count{pool=\"native\"}"), 1.0);
    assert_eq!(metric(&server, "crosswheel_slots_in_use{pool=\"native\"}"), 0.0);
    assert!(metric(&server, "crosswheel_store_blobs") >= 5.0);
}

/// The worker stores an output directory, and the action cache judges whether it is all there: they must agree.
#[tokio::test]
async fn a_result_with_directories_in_an_output_directory_is_found_again() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let client = Client::of(&server).await;
    let action = client.action("mkdir -p output/sub; cp input output/sub/copy", &[]).await;

    let first = end(client.start(&action).await.unwrap()).await;
    assert_eq!(first.status.unwrap_or_default().code, 0, "{}", first.message);
    assert!(!first.cached_result);
    let again = end(client.start(&action).await.unwrap()).await;
    assert!(again.cached_result);
    assert_eq!(again.result.unwrap().output_directories, first.result.unwrap().output_directories);
}

/// An action that ran somewhere else than its client meant could well end with 0, and be cached.
#[tokio::test]
async fn a_working_directory_that_is_not_there_is_refused_by_the_name_of_its_field() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let client = Client::of(&server).await;
    // An output is to lie in it, and its parents are made; that does not make it one of the input tree.
    let action = |working_directory: &str| {
        // Without a PATH, as clients send it that leave that to the worker.
        let command = command(&["touch", "output"], &[], "output");
        Command { working_directory: working_directory.into(), ..command }
    };
    let missing = client.action_of(action("no/such"), "input", b"", &[]).await;
    let response = end(client.start(&missing).await.unwrap()).await;
    let status = response.status.unwrap();
    assert_eq!(Code::from(status.code), Code::InvalidArgument, "{}", status.message);
    assert!(
        status.message.starts_with("command.working_directory: `no/such` is no directory"),
        "{}",
        status.message
    );

    let there = client.action_of(action(""), "input", b"", &[]).await;
    let result = end(client.start(&there).await.unwrap()).await.result.unwrap();
    assert_eq!((result.exit_code, result.output_files.len()), (0, 1), "{result:?}");
}

#[tokio::test]
async fn what_no_pool_offers_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--pool", "one,color=blue"]);
    let client = Client::of(&server).await;
    let action = client.action("true > output", &[("color", "red")]).await;
    let refusal = match client.start(&action).await {
        Err(status) => status,
        Ok(updates) => panic!("taken: {:?}", end(updates).await),
    };
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    assert!(refusal.message().contains("red") && refusal.message().contains("blue"), "{refusal}");
    assert_eq!(metric(&server, "crosswheel_actions_refused_total{reason=\"unsatisfiable\"}"), 1.0);
}

#[tokio::test]
async fn capabilities_say_what_the_settings_say() {
    for (setting, enabled) in [("on", true), ("off", false)] {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::start(directory.path(), &["--update-action-result", setting]);
        let mut client = CapabilitiesClient::new(server.channel().await);
        let capabilities =
            client.get_capabilities(GetCapabilitiesRequest::default()).await.unwrap().into_inner();
        assert!(capabilities.execution_capabilities.unwrap().exec_enabled);
        let update = capabilities.cache_capabilities.unwrap().action_cache_update_capabilities.unwrap();
        assert_eq!(update.update_enabled, enabled);
    }
}

/// Starts an action that does not end by itself, and waits until it runs.
async fn run_until_killed(server: &Server) -> Streaming<crosswheel::reapi::longrunning::Operation> {
    let client = Client::of(server).await;
    let action = client.action("sleep 1000", &[]).await;
    let updates = client.start(&action).await.unwrap();
    let slots = "crosswheel_slots_in_use{pool=\"native\"}";
    eventually("the action to run", async || metric(server, slots) != 0.0).await;
    updates
}

#[tokio::test]
async fn running_actions_get_a_grace_period_and_are_killed_then() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--shutdown-grace", "100ms"]);
    let updates = run_until_killed(&server).await;
    server.signal(Signal::TERM);
    // Another server can run it.
    assert_eq!(end(updates).await.status.unwrap().code, Code::Unavailable as i32);
    assert_eq!(server.exit().code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_kills_what_runs() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--shutdown-grace", "1h"]);
    let _updates = run_until_killed(&server).await;
    server.signal(Signal::TERM);
    let not_ready = "HTTP/1.1 503 Service Unavailable";
    eventually("the server not to be ready", async || server.get("/readyz").0 == not_ready).await;
    server.signal(Signal::INT);
    assert_eq!(server.exit().code(), Some(130));
}

#[tokio::test]
async fn what_a_running_action_writes_can_be_read_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let client = Client::of(&server).await;
    let action = client.action("echo so far; sleep 1000", &[]).await;
    let mut updates = client.start(&action).await.unwrap();
    let resource_name = loop {
        let operation = within("the name of the log", updates.message()).await.unwrap().unwrap();
        let metadata = ExecuteOperationMetadata::decode(&*operation.metadata.unwrap().value).unwrap();
        if !metadata.stdout_stream_name.is_empty() {
            break metadata.stdout_stream_name;
        }
    };
    let request = ReadRequest { resource_name, ..Default::default() };
    let mut log = ByteStreamClient::new(client.channel.clone()).read(request).await.unwrap().into_inner();
    let written = within("what it has written", log.message()).await.unwrap().unwrap();
    assert_eq!(written.data, b"so far\n");
}

#[tokio::test]
async fn a_batch_may_be_as_large_as_the_settings_say() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--max-batch-bytes", "1kB"]);
    let channel = server.channel().await;
    let mut client = CapabilitiesClient::new(channel.clone());
    let capabilities = client.get_capabilities(GetCapabilitiesRequest::default()).await;
    let cache = capabilities.unwrap().into_inner().cache_capabilities.unwrap();
    assert_eq!(cache.max_batch_total_size_bytes, 1000);
    let data = vec![0; 1001];
    let digest = Some(DigestFunction::Sha256.digest(&data).to_message());
    let request = batch_update_blobs_request::Request { digest, data, ..Default::default() };
    let request = BatchUpdateBlobsRequest { requests: vec![request], ..Default::default() };
    let refusal =
        ContentAddressableStorageClient::new(channel).batch_update_blobs(request).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert!(refusal.message().contains("1000"), "{refusal}");
}
