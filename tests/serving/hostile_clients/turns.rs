//! Clients that ask for more than their share of the workers.

use crosswheel::queue::QueueSettings;
use crosswheel::reapi::execution_client::ExecutionClient;
use crosswheel::reapi::{ExecuteRequest, RequestMetadata};
use crosswheel::server::ExecutionSettings;
use prost::Message;
use tonic::Request;
use tonic::metadata::MetadataValue;

use crate::execution_services::scene::{Scene, Stage, ask, end, host_pool, reach};
use crate::support::client::{self, Client};
use crate::support::server::Server;
use crate::support::waiting::eventually;

/// What a client that has gone left behind comes after everything that somebody waits for, whatever its priority; and
/// goes back to its place when the client does.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_left_behind_keeps_nobody_waiting() {
    let (settings, execution) = (QueueSettings::default(), ExecutionSettings::default());
    let mut scene = Scene::without_workers(vec![host_pool(1)], settings, execution).await;
    let mut left_behind = Vec::new();
    for number in 0..300 {
        let action = scene.action(&["wait", &format!("left {number}")]);
        let mut updates = scene.execute(ask(action).priority(-10)).await.unwrap();
        let name = reach(&mut updates, Stage::Queued).await.name;
        left_behind.push((name, updates));
    }
    let names: Vec<String> = left_behind.into_iter().map(|(name, _)| name).collect();
    scene.until(|statistics| statistics.unattended == 300).await;
    let mut waiting = scene.execute(ask(scene.action(&["wait", "waited for"]))).await.unwrap();
    reach(&mut waiting, Stage::Queued).await;
    // One of them is waited for again.
    let mut back = scene.wait_execution(&names[200]).await.unwrap();
    reach(&mut back, Stage::Queued).await;
    scene.start_workers();
    for label in ["left 200", "waited for", "left 0", "left 1"] {
        let run = scene.next_run().await;
        assert_eq!(run.label(), label);
        run.exit(0);
    }
    end(back).await;
    end(waiting).await;
}

/// Each of its actions is an invocation of its own, so that it would have three hundred turns to the other's one.
#[tokio::test]
async fn a_client_with_hundreds_of_invocations_takes_turns_with_one_that_has_one() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--pool", "native,slots=1", "--log-level", "warn"]);
    let greedy = Client::of(&server).await;
    let mut waiting = Vec::new();
    for number in 0..300 {
        let action = greedy.action(&format!("sleep 0.05; echo {number} > output"), &[]).await;
        let mut request = Request::new(ExecuteRequest { action_digest: Some(action), ..Default::default() });
        let metadata = RequestMetadata { tool_invocation_id: number.to_string(), ..Default::default() };
        let name = "build.bazel.remote.execution.v2.requestmetadata-bin";
        let metadata = MetadataValue::from_bytes(&metadata.encode_to_vec());
        request.metadata_mut().insert_bin(name, metadata);
        let updates = ExecutionClient::new(greedy.channel.clone()).execute(request).await.unwrap();
        waiting.push(updates.into_inner());
    }
    let other = Client { channel: server.channel_from([127, 0, 0, 2].into()).await };
    let action = other.action("echo other > output", &[]).await;
    let left = || {
        let (_, text) = server.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix("crosswheel_queue_length ")).unwrap();
        line.parse::<usize>().unwrap()
    };
    eventually("a queue", async || left() > 0).await;
    let before = left();
    client::end(other.start(&action).await.unwrap()).await;
    let after = left();
    println!("{before} actions were queued before the other's one, {after} when it had run");
    assert!(before - after < 20, "{} actions of one client ran before another's only one", before - after);
}
