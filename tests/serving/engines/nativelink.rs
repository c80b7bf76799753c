//! What a worker says to NativeLink, and what it makes of what it hears.

use crosswheel::reapi::ExecuteResponse;
use crosswheel::worker_protocols::nativelink::ExecuteResult;
use crosswheel::worker_protocols::nativelink::execute_result::Result as Executed;
use crosswheel::worker_protocols::nativelink::update_for_scheduler::Update as ForScheduler;
use tonic::Code;

use super::nativelink_scheduler::{self as nativelink, start_execute};
use super::scene::{Gate, Scene};
use crate::support::waiting::eventually;

pub fn response(result: ExecuteResult) -> ExecuteResponse {
    match result.result.unwrap() {
        Executed::ExecuteResponse(response) => response,
        Executed::InternalError(status) => panic!("{status:?}"),
    }
}

#[tokio::test]
async fn an_action_is_run_and_its_result_has_what_the_scheduler_wants_to_see() {
    let scene = Scene::start().await;
    let mut scheduler = nativelink::start();
    let worker = scene.worker("nativelink", &scheduler.address(), &["--name", "w"]);
    let mut connection = scheduler.call().await;
    assert_eq!(connection.hello.worker_id_prefix, "w-native-0");
    assert_eq!(connection.hello.max_inflight_tasks, 1);
    assert!(connection.hello.properties.iter().any(|property| property.name == "OSFamily"));
    let action = scene.client.action("tr a-z A-Z < input > output", &[]).await;
    let start = start_execute("one", &action);
    connection.hand_out(&start);
    let response = response(connection.result("one").await);
    assert_eq!(response.status.unwrap_or_default().code, 0);
    let result = response.result.unwrap();
    assert_eq!(result.exit_code, 0);
    assert!(result.stdout_digest.is_some() && result.stderr_digest.is_some());
    assert_eq!(scene.client.read(result.output_files[0].digest.as_ref().unwrap()).await, b"WHAT GOES IN");
    let metadata = result.execution_metadata.unwrap();
    assert_eq!(metadata.worker, format!("{}/native/0", worker.name()));
    assert_eq!(metadata.queued_timestamp, start.queued_timestamp);
    assert!(
        [
            metadata.worker_start_timestamp,
            metadata.input_fetch_start_timestamp,
            metadata.input_fetch_completed_timestamp,
            metadata.execution_start_timestamp,
            metadata.execution_completed_timestamp,
            metadata.output_upload_start_timestamp,
            metadata.output_upload_completed_timestamp,
            metadata.worker_completed_timestamp,
        ]
        .iter()
        .all(Option::is_some)
    );
    assert!(scene.cached(&action).await.is_some(), "the worker puts it there");
}

#[tokio::test]
async fn only_what_others_may_have_is_put_into_the_action_cache() {
    let scene = Scene::start().await;
    let mut scheduler = nativelink::start();
    let _worker = scene.worker("nativelink", &scheduler.address(), &[]);
    let mut connection = scheduler.call().await;
    let failing = scene.client.action("exit 3", &[]).await;
    let private = scene.client.action("echo > output", &[]).await;
    let private = scene.changed(&private, |action| action.do_not_cache = true).await;
    for (action, exit_code) in [(failing, 3), (private, 0)] {
        connection.hand_out(&start_execute("one", &action));
        assert_eq!(response(connection.result("one").await).result.unwrap().exit_code, exit_code);
        assert_eq!(scene.cached(&action).await, None);
    }
}

#[tokio::test]
async fn an_action_that_is_killed_is_dead_when_that_is_told_and_the_next_one_runs() {
    let scene = Scene::start().await;
    let mut scheduler = nativelink::start();
    let _worker = scene.worker("nativelink", &scheduler.address(), &[]);
    let mut connection = scheduler.call().await;
    let gate = Gate::new();
    let unwanted = scene.client.action(&gate.script("true"), &[]).await;
    connection.hand_out(&start_execute("one", &unwanted));
    gate.reached().await;
    connection.kill("another");
    connection.kill("one");
    let answer = response(connection.result("one").await);
    assert_eq!(answer.status.unwrap().code, Code::Aborted as i32);
    assert_ne!(answer.result.unwrap().exit_code, 0);
    gate.left().await;

    let next = scene.client.action("cat input > output", &[]).await;
    connection.hand_out(&start_execute("two", &next));
    assert_eq!(response(connection.result("two").await).result.unwrap().exit_code, 0);
    assert_eq!(scene.cached(&unwanted).await, None);
}

#[tokio::test]
async fn signs_of_life_come_while_it_is_free_and_while_an_action_runs() {
    let scene = Scene::start().await;
    let mut scheduler = nativelink::start();
    let _worker = scene.worker("nativelink", &scheduler.address(), &[]);
    let mut connection = scheduler.call().await;
    assert!(matches!(connection.next().await, Some(ForScheduler::KeepAliveRequest(_))));
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("true"), &[]).await;
    connection.hand_out(&start_execute("one", &action));
    gate.reached().await;
    for _ in 0..2 {
        assert!(matches!(connection.next().await, Some(ForScheduler::KeepAliveRequest(_))));
    }
    gate.open();
    connection.result("one").await;
}

#[tokio::test]
async fn an_action_for_which_there_is_no_place_is_given_back() {
    let scene = Scene::start().await;
    let mut scheduler = nativelink::start();
    let worker = scene.worker("nativelink", &scheduler.address(), &[]);
    let mut connection = scheduler.call().await;
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("true"), &[]).await;
    connection.hand_out(&start_execute("one", &action));
    gate.reached().await;
    for number in 0..100 {
        connection.hand_out(&start_execute(&format!("more {number}"), &action));
    }
    for number in 0..100 {
        let Some(ForScheduler::ExecuteResult(result)) = connection.heard().await else { panic!("{number}") };
        assert_eq!(result.operation_id, format!("more {number}"));
        assert!(matches!(result.result, Some(Executed::InternalError(_))));
    }
    gate.open();
    assert_eq!(response(connection.result("one").await).result.unwrap().exit_code, 0);
    assert_eq!(worker.commands_run(), 1.0);
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_anew_and_what_runs_goes_on_for_who_asks_again() {
    let scene = Scene::start().await;
    let mut scheduler = nativelink::start();
    let worker = scene.worker("nativelink", &scheduler.address(), &[]);
    let connection = scheduler.call().await;
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("cat input > output"), &[]).await;
    connection.hand_out(&start_execute("one", &action));
    gate.reached().await;
    drop(connection);
    let mut connection = scheduler.call().await;
    connection.hand_out(&start_execute("one again", &action));
    gate.open();
    assert_eq!(response(connection.result("one again").await).result.unwrap().exit_code, 0);
    assert_eq!(worker.commands_run(), 1.0, "it has run on");
}

#[tokio::test]
async fn a_scheduler_that_lets_it_go_sees_it_again() {
    let scene = Scene::start().await;
    let mut scheduler = nativelink::start();
    let worker = scene.worker("nativelink", &scheduler.address(), &[]);
    let connection = scheduler.call().await;
    connection.disconnect();
    let mut connection = scheduler.call().await;
    let action = scene.client.action("cat input > output", &[]).await;
    connection.hand_out(&start_execute("one", &action));
    assert_eq!(response(connection.result("one").await).result.unwrap().exit_code, 0);
    eventually("it to be ready", async || worker.get("/readyz").0.contains("200")).await;
}

/// Nothing that is said on a stream is acknowledged.
#[tokio::test]
async fn a_result_that_was_said_to_a_scheduler_that_went_is_said_to_the_next_one() {
    let scene = Scene::start().await;
    let mut scheduler = nativelink::start();
    let worker = scene.worker("nativelink", &scheduler.address(), &[]);
    let mut connection = scheduler.call().await;
    let action = scene.client.action("exit 3", &[]).await;
    let start = start_execute("one", &action);
    connection.hand_out(&start);
    connection.result("one").await;
    drop(connection);
    let mut connection = scheduler.call().await;
    connection.hand_out(&start);
    assert_eq!(response(connection.result("one").await).result.unwrap().exit_code, 3);
    assert_eq!(worker.commands_run(), 1.0);
    // Who wants it anew gets it anew.
    connection.hand_out(&start_execute("two", &action));
    assert_eq!(response(connection.result("two").await).result.unwrap().exit_code, 3);
    assert_eq!(worker.commands_run(), 2.0);
}
