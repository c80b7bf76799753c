//! Clients come and go.

use std::time::Duration;

use crosswheel::queue::QueueSettings;
use crosswheel::reapi::longrunning::{CancelOperationRequest, GetOperationRequest};
use crosswheel::server::ExecutionSettings;
use tonic::Code;

use super::scene::{Scene, Stage, ask, code, end, host_pool, metadata, reach, response, update};
use crate::support::waiting::{eventually, within};

async fn with_grace(grace: Duration) -> Scene {
    let settings = QueueSettings { grace, ..QueueSettings::default() };
    Scene::with(vec![host_pool(1)], settings, ExecutionSettings::default()).await
}

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_lost_its_connection_comes_back_by_name() {
    let mut scene = with_grace(LONG).await;
    let action = scene.action(&["wait", "x"]);
    let mut updates = scene.execute(ask(action).instance("main")).await.unwrap();
    let operation = reach(&mut updates, Stage::Executing).await;
    assert!(operation.name.starts_with("main/operations/"), "{}", operation.name);
    let run = scene.next_run().await;
    drop(updates);
    scene.until(|statistics| statistics.unattended == 1).await;
    let mut back = scene.wait_execution(&operation.name).await.unwrap();
    assert_eq!(metadata(&update(&mut back).await).stage(), Stage::Executing);
    assert_eq!(scene.queue.statistics().unattended, 0);
    run.exit(0);
    assert_eq!(code(&end(back).await), Code::Ok);
    // And again, when it has ended.
    let mut late = scene.wait_execution(&operation.name).await.unwrap();
    assert!(update(&mut late).await.done);
    assert!(within("the end of the stream", late.message()).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_is_not_there_is_not_found() {
    let scene = Scene::new().await;
    for name in ["", "operations/x", "operations/00000000000000000000000000000000"] {
        let refusal = scene.wait_execution(name).await.err().unwrap();
        assert_eq!(refusal.code(), Code::NotFound, "{name}");
    }
    let mut updates = scene.execute(ask(scene.action(&["exit", "0"])).instance("main")).await.unwrap();
    let name = update(&mut updates).await.name;
    let of_another = name.replace("main/", "other/");
    assert_eq!(scene.wait_execution(&of_another).await.err().unwrap().code(), Code::NotFound);
    // Not even without one: that is an instance of its own.
    let without = scene.wait_execution(name.strip_prefix("main/").unwrap()).await;
    assert_eq!(without.err().unwrap().code(), Code::NotFound);
    assert!(scene.wait_execution(&name).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_is_killed_after_a_grace_period() {
    let mut scene = with_grace(SHORT).await;
    let action = scene.action(&["wait", "x"]);
    let mut updates = scene.execute(ask(action)).await.unwrap();
    let name = reach(&mut updates, Stage::Executing).await.name;
    let run = scene.next_run().await;
    drop(updates);
    scene.until(|statistics| statistics.outcomes.abandoned_total == 1).await;
    scene.until(|statistics| statistics.pools[0].executing == 0).await;
    assert!(!run.is_alive());
    let ended = scene.operations().get_operation(GetOperationRequest { name }).await.unwrap().into_inner();
    let response = response(&ended);
    assert_eq!(code(&response), Code::Cancelled);
    assert!(response.status.unwrap().message.contains("nobody"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_leaves_the_queue() {
    let settings = QueueSettings { grace: SHORT, ..QueueSettings::default() };
    let scene = Scene::without_workers(vec![host_pool(1)], settings, ExecutionSettings::default()).await;
    let mut updates = scene.execute(ask(scene.action(&["wait", "x"]))).await.unwrap();
    reach(&mut updates, Stage::Queued).await;
    drop(updates);
    scene.until(|statistics| statistics.queued == 0).await;
    assert_eq!(scene.queue.statistics().outcomes.abandoned_total, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_with_a_listener_left_outlives_the_grace_period() {
    let mut scene = with_grace(SHORT).await;
    let action = scene.action(&["wait", "x"]);
    let mut one = scene.execute(ask(action)).await.unwrap();
    reach(&mut one, Stage::Executing).await;
    let mut two = scene.execute(ask(action)).await.unwrap();
    reach(&mut two, Stage::Executing).await;
    drop(one);
    scene.until(|statistics| statistics.outcomes.abandoned_total == 1).await;
    scene.next_run().await.exit(0);
    assert_eq!(code(&end(two).await), Code::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_action_is_killed_and_its_operation_says_so() {
    let mut scene = Scene::new().await;
    let mut updates = scene.execute(ask(scene.action(&["wait", "x"]))).await.unwrap();
    let name = reach(&mut updates, Stage::Executing).await.name;
    let run = scene.next_run().await;
    scene.operations().cancel_operation(CancelOperationRequest { name: name.clone() }).await.unwrap();
    assert_eq!(code(&end(updates).await), Code::Cancelled);
    scene.until(|statistics| statistics.pools[0].executing == 0).await;
    assert!(!run.is_alive());
    // Once more changes nothing.
    scene.operations().cancel_operation(CancelOperationRequest { name: name.clone() }).await.unwrap();
    assert_eq!(scene.queue.statistics().outcomes.cancelled_total, 1);
    // The slot is free.
    assert_eq!(code(&scene.run(ask(scene.action(&["exit", "0"]))).await), Code::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hears_from_an_operation_in_which_nothing_happens() {
    let execution = ExecutionSettings { keepalive: Duration::from_millis(5) };
    let scene = Scene::without_workers(vec![host_pool(1)], QueueSettings::default(), execution).await;
    let mut updates = scene.execute(ask(scene.action(&["wait", "x"]))).await.unwrap();
    reach(&mut updates, Stage::Queued).await;
    for _ in 0..5 {
        assert_eq!(metadata(&update(&mut updates).await).stage(), Stage::Queued);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_queue_ends_what_there_is_and_takes_no_more() {
    let mut scene = Scene::new().await;
    let mut running = scene.execute(ask(scene.action(&["wait", "running"]))).await.unwrap();
    reach(&mut running, Stage::Executing).await;
    let mut queued = scene.execute(ask(scene.action(&["wait", "queued"]))).await.unwrap();
    reach(&mut queued, Stage::Queued).await;
    let run = scene.next_run().await;
    scene.queue.close();
    assert_eq!(code(&end(running).await), Code::Unavailable);
    assert_eq!(code(&end(queued).await), Code::Unavailable);
    assert_eq!(scene.refusal(ask(scene.action(&["exit", "0"]))).await.code(), Code::Unavailable);
    scene.until(|statistics| statistics.pools[0].executing == 0).await;
    assert!(!run.is_alive());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_queue_finishes_what_it_has() {
    let mut scene = Scene::new().await;
    let mut running = scene.execute(ask(scene.action(&["wait", "running"]))).await.unwrap();
    reach(&mut running, Stage::Executing).await;
    let queue = scene.queue.clone();
    let draining = tokio::spawn(async move { queue.drain().await });
    let late = scene.action(&["exit", "0"]);
    let is_refused = async || scene.execute(ask(late).skipping_the_cache()).await.is_err();
    eventually("the queue to take no more", is_refused).await;
    let run = scene.next_run().await;
    assert!(!draining.is_finished());
    run.exit(0);
    assert_eq!(code(&end(running).await), Code::Ok);
    within("the queue to be empty", draining).await.unwrap();
}
