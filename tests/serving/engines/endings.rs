//! How a worker ends, and what its scheduler and its clients see of that.

use std::process::Stdio;

use crosswheel::worker_protocols::bots::{BotStatus, LeaseState};
use crosswheel::worker_protocols::nativelink::execute_result::Result as Executed;
use crosswheel::worker_protocols::nativelink::update_for_scheduler::Update as ForScheduler;
use rustix::process::Signal;
use tonic::Code;

use super::bots_scheduler::{self as buildgrid, lease, result};
use super::buildbarn_scheduler::{self as buildbarn, Handed, Said, go_on, idle, said};
use super::nativelink::response;
use super::nativelink_scheduler::{self as nativelink, start_execute};
use super::scene::{Gate, Scene};
use crate::support::server::crosswheel_command;
use crate::support::waiting::{InTime, eventually};
use crate::support::worker::Worker;

const TERMINATING: i32 = BotStatus::BotTerminating as i32;

async fn has_heard_a_signal(worker: &Worker) {
    eventually("the worker to hear a signal", async || {
        let (status, why) = worker.get("/readyz");
        status.contains("503") && why.contains("about to end")
    })
    .await;
}

#[tokio::test]
async fn who_does_nothing_says_goodbye_and_ends() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    scheduler.call().await.answer(idle());
    let waiting = scheduler.call().await;
    assert!(!waiting.said.prefer_being_idle);
    worker.signal(Signal::TERM);
    let goodbye = scheduler.call().await;
    assert_eq!(said(&goodbye.said), Said::Idle);
    assert!(goodbye.said.prefer_being_idle);
    goodbye.answer(idle());
    assert_eq!(worker.exit().code(), Some(0));
}

#[tokio::test]
async fn an_action_for_buildbarn_that_runs_ends_and_no_other_is_taken() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("cat input > output"), &[]).await;
    scheduler.hand_out(&Handed::of(&scene, &action).await).await;
    scheduler.stage("running").await;
    gate.reached().await;
    worker.signal(Signal::TERM);
    has_heard_a_signal(&worker).await;
    scheduler.stage("running").await;
    gate.open();
    let end = loop {
        let call = scheduler.call().await;
        match said(&call.said) {
            Said::Completed(response) => {
                assert!(call.said.prefer_being_idle, "nothing is to come with the answer");
                call.answer(idle());
                break response;
            }
            _ => call.answer(go_on()),
        }
    };
    assert_eq!(end.result.unwrap().exit_code, 0);
    let goodbye = scheduler.call().await;
    assert_eq!((said(&goodbye.said), goodbye.said.prefer_being_idle), (Said::Idle, true));
    goodbye.answer(idle());
    assert_eq!(worker.exit().code(), Some(0));
}

#[tokio::test]
async fn an_action_for_buildgrid_that_runs_ends_and_no_other_is_taken() {
    let scene = Scene::start().await;
    let mut scheduler = buildgrid::start();
    let worker = scene.worker("buildgrid", &scheduler.address(), &[]);
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("cat input > output"), &[]).await;
    let lease = lease("/1", &scene.message_of(&action).await);
    scheduler.hand_out(&lease).await;
    gate.reached().await;
    worker.signal(Signal::TERM);
    has_heard_a_signal(&worker).await;
    loop {
        let call = scheduler.call().await;
        let status = call.said.session.status;
        call.grant("session", std::slice::from_ref(&lease));
        if status == TERMINATING {
            break;
        }
    }
    gate.open();
    let ended = loop {
        let call = scheduler.call().await;
        assert_eq!(call.said.session.status, TERMINATING);
        let heard = call.said.session.leases[0].clone();
        let is_over = heard.state() == LeaseState::Completed;
        call.grant("session", if is_over { &[] } else { std::slice::from_ref(&lease) });
        if is_over {
            break heard;
        }
    };
    assert_eq!(result(&ended).exit_code, 0);
    let goodbye = scheduler.call().await;
    assert_eq!(goodbye.said.session.status, TERMINATING);
    assert_eq!(goodbye.said.session.leases, []);
    goodbye.grant("session", &[]);
    assert_eq!(worker.exit().code(), Some(0));
}

#[tokio::test]
async fn an_action_for_nativelink_that_runs_ends_and_no_other_is_taken() {
    let scene = Scene::start().await;
    let mut scheduler = nativelink::start();
    let worker = scene.worker("nativelink", &scheduler.address(), &[]);
    let mut connection = scheduler.call().await;
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("cat input > output"), &[]).await;
    connection.hand_out(&start_execute("one", &action));
    gate.reached().await;
    worker.signal(Signal::TERM);
    has_heard_a_signal(&worker).await;
    gate.open();
    assert_eq!(response(connection.result("one").await).result.unwrap().exit_code, 0);
    assert!(matches!(connection.heard().await, Some(ForScheduler::GoingAwayRequest(_))));
    connection.hand_out(&start_execute("two", &action));
    // It is given to others by itself, and a refusal would cost it an attempt.
    connection.disconnect();
    assert!(connection.heard().await.is_none(), "nothing is said of it");
    assert_eq!(worker.exit().code(), Some(0));
}

#[tokio::test]
async fn when_the_grace_is_over_what_runs_is_killed_and_somebody_else_is_to_run_it() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let worker = scene.worker("buildbarn", &scheduler.address(), &["--shutdown-grace", "100ms"]);
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("true"), &[]).await;
    scheduler.hand_out(&Handed::of(&scene, &action).await).await;
    scheduler.stage("running").await;
    gate.reached().await;
    worker.signal(Signal::TERM);
    let (_, response) = scheduler.completion().await;
    assert_eq!(response.status.unwrap().code, Code::Unavailable as i32);
    assert_eq!(response.result, None);
    gate.left().await;
    scheduler.call().await.answer(idle());
    assert_eq!(worker.exit().code(), Some(0));
    assert_eq!(scene.cached(&action).await, None);
}

#[tokio::test]
async fn a_second_signal_kills_what_runs_also_for_buildgrid() {
    let scene = Scene::start().await;
    let mut scheduler = buildgrid::start();
    let worker = scene.worker("buildgrid", &scheduler.address(), &["--shutdown-grace", "1h"]);
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("true"), &[]).await;
    let lease = lease("/1", &scene.message_of(&action).await);
    scheduler.hand_out(&lease).await;
    gate.reached().await;
    worker.signal(Signal::TERM);
    has_heard_a_signal(&worker).await;
    worker.signal(Signal::TERM);
    let ended = scheduler.completion(&lease).await;
    assert_eq!(ended.status.unwrap().code, Code::Unavailable as i32);
    gate.left().await;
    scheduler.call().await.grant("session", &[]);
    assert_eq!(worker.exit().code(), Some(143));
}

#[tokio::test]
async fn what_is_killed_at_the_end_is_tried_elsewhere_by_nativelink() {
    let scene = Scene::start().await;
    let mut scheduler = nativelink::start();
    let worker = scene.worker("nativelink", &scheduler.address(), &["--shutdown-grace", "100ms"]);
    let mut connection = scheduler.call().await;
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("true"), &[]).await;
    connection.hand_out(&start_execute("one", &action));
    gate.reached().await;
    worker.signal(Signal::TERM);
    match connection.result("one").await.result.unwrap() {
        Executed::InternalError(status) => assert_eq!(status.code, Code::Unavailable as i32),
        other => panic!("{other:?}"),
    }
    gate.left().await;
    assert!(matches!(connection.heard().await, Some(ForScheduler::GoingAwayRequest(_))));
    drop(connection);
    assert_eq!(worker.exit().code(), Some(0));
}

#[tokio::test]
async fn a_scheduler_that_does_not_answer_keeps_nothing_alive() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let worker = scene.worker("buildbarn", &scheduler.address(), &["--shutdown-grace", "1h"]);
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("true"), &[]).await;
    scheduler.hand_out(&Handed::of(&scene, &action).await).await;
    scheduler.stage("running").await;
    gate.reached().await;
    let unanswered = scheduler.call().await;
    worker.signal(Signal::TERM);
    has_heard_a_signal(&worker).await;
    worker.signal(Signal::TERM);
    gate.left().await;
    unanswered.answer(go_on());
    let (_, response) = scheduler.completion().await;
    assert_eq!(response.status.unwrap().code, Code::Unavailable as i32);
    scheduler.call().await.answer(idle());
    assert_eq!(worker.exit().code(), Some(143));
}

/// A worker that has to wait for its CAS ends at once: there is nothing to end yet.
fn waits_for_its_store(address: &str, because: &str) {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["--engine", "buildgrid", "--scheduler", address, "--http-listen", "off"];
    let mut command = crosswheel_command("worker", &arguments);
    command.arg("--store").arg(directory.path().join("worker"));
    let mut worker = command.stdout(Stdio::piped()).stderr(Stdio::piped()).start();
    worker.stderr().until(because);
    worker.signal(Signal::TERM);
    assert_eq!(worker.exit().code(), Some(0));
    assert_eq!(worker.stdout().rest(), "", "it has not begun");
}

#[test]
fn who_waits_for_its_store_ends_at_once() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("grpc://{}", nobody.local_addr().unwrap());
    drop(nobody);
    waits_for_its_store(&address, "says Unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_is_no_store() {
    let scheduler = buildgrid::start();
    waits_for_its_store(&scheduler.address(), "is no CAS: say where it is with --cas");
}

/// One that accepts calls and does not answer.
#[tokio::test]
async fn who_does_nothing_does_not_wait_for_a_scheduler_that_does_not_answer() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    scheduler.call().await.answer(idle());
    let _waiting = scheduler.call().await;
    worker.signal(Signal::TERM);
    let _unanswered = scheduler.call().await;
    assert_eq!(worker.exit().code(), Some(0));
}

#[tokio::test]
async fn who_cannot_reach_its_scheduler_ends_nevertheless() {
    let scene = Scene::start().await;
    let mut scheduler = buildgrid::start();
    let worker = scene.worker("buildgrid", &scheduler.address(), &["--shutdown-grace", "100ms"]);
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("true"), &[]).await;
    scheduler.hand_out(&lease("/1", &scene.message_of(&action).await)).await;
    gate.reached().await;
    scheduler.vanish();
    worker.signal(Signal::TERM);
    assert_eq!(worker.exit().code(), Some(0));
    gate.left().await;
}
