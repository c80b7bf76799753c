//! Actions that cannot be run: their clients get to know why.

use crosswheel::reapi::{Command, Digest, Directory, DirectoryNode, FileNode, SymlinkNode, protobuf, rpc};
use prost::Message;
use tonic::Code;
use tonic_types::pb::PreconditionFailure;

use super::bots_scheduler::{self as buildgrid, any, lease};
use super::buildbarn_scheduler::{self as buildbarn, BuildbarnScheduler, Handed};
use super::nativelink::response;
use super::nativelink_scheduler::{self as nativelink, start_execute};
use super::scene::Scene;
use crate::support::client::command;

/// The blobs that are missing, as clients are told.
fn missing(status: &rpc::Status) -> Vec<String> {
    assert_eq!(status.code, Code::FailedPrecondition as i32, "{}", status.message);
    let [detail] = &*status.details else { panic!("{status:?}") };
    assert!(detail.type_url.ends_with("/google.rpc.PreconditionFailure"));
    let failure = PreconditionFailure::decode(&*detail.value).unwrap();
    assert!(failure.violations.iter().all(|violation| violation.r#type == "MISSING"));
    failure.violations.into_iter().map(|violation| violation.subject).collect()
}

async fn refusal(scheduler: &mut BuildbarnScheduler, handed: &Handed) -> rpc::Status {
    scheduler.hand_out(handed).await;
    let (_, response) = scheduler.completion().await;
    assert_eq!(response.result, None);
    response.status.unwrap()
}

#[tokio::test]
async fn lost_inputs_are_told_as_clients_want_them_told() {
    let scene = Scene::start().await;
    let action = scene.client.action("true", &[]).await;
    let action = scene.without_inputs(&action).await;
    let expected = [format!("blobs/{}/77", "0".repeat(64))];

    let mut scheduler = buildbarn::start();
    let worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    let handed = Handed::of(&scene, &action).await;
    assert_eq!(missing(&refusal(&mut scheduler, &handed).await), expected);
    worker.kill();

    let mut scheduler = buildgrid::start();
    let worker = scene.worker("buildgrid", &scheduler.address(), &[]);
    let lease = lease("/1", &scene.message_of(&action).await);
    scheduler.hand_out(&lease).await;
    assert_eq!(missing(&scheduler.completion(&lease).await.status.unwrap()), expected);
    worker.kill();

    let mut scheduler = nativelink::start();
    let _worker = scene.worker("nativelink", &scheduler.address(), &[]);
    let mut connection = scheduler.call().await;
    connection.hand_out(&start_execute("one", &action));
    assert_eq!(missing(&response(connection.result("one").await).status.unwrap()), expected);
}

/// Schedulers take no larger messages than 4 MiB.
#[tokio::test]
async fn very_many_lost_inputs_fit_into_what_schedulers_take() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let _worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    let file = |number: u32| FileNode {
        name: format!("{number:0>200}"),
        digest: Some(Digest { hash: format!("{number:0>64}"), size_bytes: 1 }),
        ..FileNode::default()
    };
    let root = Directory { files: (0..6000).map(file).collect(), ..Directory::default() };
    let root = scene.client.put(root.encode_to_vec()).await;
    let action = scene.client.action("true", &[]).await;
    let action = scene.changed(&action, |action| action.input_root_digest = Some(root)).await;
    let handed = Handed::of(&scene, &action).await;
    let missing = missing(&refusal(&mut scheduler, &handed).await);
    assert!(missing.len() >= 1000, "{}", missing.len());
}

/// Nor do they say which one it was that was too large, and would be told for ever.
#[tokio::test]
async fn a_result_that_is_larger_than_what_schedulers_take_is_a_failure_that_says_so() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    // Each link makes more of the result than of the directory or of the command.
    let above = "a".repeat(250);
    let names = (0..6000).map(|number| format!("{number:0>250}"));
    let link = |name| SymlinkNode { name, target: "t".repeat(200), ..SymlinkNode::default() };
    let links = Directory { symlinks: names.clone().map(link).collect(), ..Directory::default() };
    let links = scene.client.put(links.encode_to_vec()).await;
    let node = DirectoryNode { name: above.clone(), digest: Some(links) };
    let root = Directory { directories: vec![node], ..Directory::default() };
    let root = scene.client.put(root.encode_to_vec()).await;
    let command = Command {
        output_paths: names.map(|name| format!("{above}/{name}")).collect(),
        ..command(&["true"], &[("PATH", "/usr/bin:/bin")], "")
    };
    let action = scene.client.action_of(command, "input", b"", &[]).await;
    let action = scene.changed(&action, |action| action.input_root_digest = Some(root)).await;
    let refused = refusal(&mut scheduler, &Handed::of(&scene, &action).await).await;
    assert_eq!(refused.code, Code::FailedPrecondition as i32, "{}", refused.message);
    assert!(refused.message.contains("schedulers take"), "{}", refused.message);

    let action = scene.client.action("cat input > output", &[]).await;
    scheduler.hand_out(&Handed::of(&scene, &action).await).await;
    let (_, response) = scheduler.completion().await;
    assert_eq!(response.result.unwrap().exit_code, 0);
    assert_eq!(worker.commands_run(), 2.0);
}

#[tokio::test]
async fn digest_functions_and_timeouts_that_are_not_had_here_are_refused() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let worker = scene.worker("buildbarn", &scheduler.address(), &["--max-timeout", "1m"]);
    let action = scene.client.action("cat input > output", &[]).await;
    let fine = Handed::of(&scene, &action).await;
    let unknown = Handed { digest_function: 999, ..fine.anew() };
    let refused = refusal(&mut scheduler, &unknown).await;
    assert_eq!(refused.code, Code::InvalidArgument as i32, "{}", refused.message);

    let mut long = fine.anew();
    long.action.as_mut().unwrap().timeout = Some(protobuf::Duration { seconds: 3600, nanos: 0 });
    let refused = refusal(&mut scheduler, &long).await;
    assert_eq!(refused.code, Code::InvalidArgument as i32, "{}", refused.message);
    assert!(refused.message.contains("1m"), "{}", refused.message);

    let hash = "no hash".to_owned();
    let nameless = Handed { digest: Digest { hash, size_bytes: -5 }, ..fine.anew() };
    let refused = refusal(&mut scheduler, &nameless).await;
    assert_eq!(refused.code, Code::InvalidArgument as i32, "{}", refused.message);

    scheduler.hand_out(&fine).await;
    let (_, response) = scheduler.completion().await;
    assert_eq!(response.result.unwrap().exit_code, 0);
    assert_eq!(worker.commands_run(), 1.0);
}

#[tokio::test]
async fn an_action_that_no_clock_could_have_queued_is_run_like_others() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let _worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    let action = scene.client.action("exit 3", &[]).await;
    let handed = Handed::of(&scene, &action).await;
    for (seconds, nanos) in
        [(i64::MIN, i32::MIN), (i64::MAX, i32::MAX), (-62_135_596_800, 0), (253_402_300_799, 999_999_999)]
    {
        let queued = protobuf::Timestamp { seconds, nanos };
        scheduler.hand_out(&Handed { queued, ..handed.clone() }).await;
        let (_, response) = scheduler.completion().await;
        assert_eq!(response.result.unwrap().exit_code, 3);
    }
}

#[tokio::test]
async fn a_lease_that_is_for_no_action_is_refused() {
    let scene = Scene::start().await;
    let mut scheduler = buildgrid::start();
    let _worker = scene.worker("buildgrid", &scheduler.address(), &[]);
    for (number, payload) in [
        None,
        Some(any("Action", vec![0xff; 10])),
        Some(any("Digest", Vec::new())),
        Some(any("Tree", vec![])),
    ]
    .into_iter()
    .enumerate()
    {
        let mut lease = lease(&format!("/{number}"), &Default::default());
        lease.payload = payload;
        scheduler.hand_out(&lease).await;
        let ended = scheduler.completion(&lease).await;
        assert_eq!(ended.status.unwrap().code, Code::InvalidArgument as i32);
    }
}

#[tokio::test]
async fn an_action_that_is_not_in_the_store_or_is_no_message_is_refused() {
    let scene = Scene::start().await;
    let mut scheduler = nativelink::start();
    let _worker = scene.worker("nativelink", &scheduler.address(), &[]);
    let mut connection = scheduler.call().await;
    let garbage = scene.client.put(vec![0xff; 10]).await;
    let lost = Digest { hash: "0".repeat(64), size_bytes: 5 };
    for (action, code) in [(&garbage, Code::InvalidArgument), (&lost, Code::FailedPrecondition)] {
        connection.hand_out(&start_execute("one", action));
        let response = response(connection.result("one").await);
        assert_eq!(response.status.unwrap().code, code as i32);
        // What the scheduler drops without a word otherwise.
        let result = response.result.unwrap();
        assert!(result.stdout_digest.is_some() && result.execution_metadata.is_some());
    }
    let mut nothing = start_execute("two", &lost);
    nothing.execute_request = None;
    connection.hand_out(&nothing);
    let refused = response(connection.result("two").await).status.unwrap();
    assert_eq!(refused.code, Code::InvalidArgument as i32);
}
