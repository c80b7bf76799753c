//! Schedulers that go and come back, and workers that do.

use tonic::{Code, Status};

use super::bots_scheduler::{self as buildgrid, lease, result};
use super::buildbarn_scheduler::{self as buildbarn, Handed, Said, execute, idle, said};
use super::nativelink_scheduler as nativelink;
use super::scene::{Gate, Scene};
use crate::support::waiting::eventually;

#[tokio::test]
async fn a_scheduler_of_buildbarn_that_still_knows_an_action_gets_its_result() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("cat input > output"), &[]).await;
    scheduler.hand_out(&Handed::of(&scene, &action).await).await;
    scheduler.stage("running").await;
    gate.reached().await;
    scheduler.vanish();
    eventually("trouble to be told", async || worker.get("/readyz").0.contains("503")).await;
    scheduler.come_back();
    scheduler.stage("running").await;
    gate.open();
    let (_, response) = scheduler.completion().await;
    assert_eq!(response.result.unwrap().exit_code, 0);
    assert_eq!(worker.commands_run(), 1.0);
    eventually("trouble to be over", async || {
        for call in scheduler.unheard() {
            call.answer(idle());
        }
        worker.get("/readyz").0.contains("200")
    })
    .await;
}

#[tokio::test]
async fn a_new_scheduler_of_buildbarn_that_knows_of_nothing_ends_what_runs() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let _worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("cat input > output"), &[]).await;
    let handed = Handed::of(&scene, &action).await;
    scheduler.hand_out(&handed).await;
    scheduler.stage("running").await;
    gate.reached().await;
    scheduler.vanish();
    scheduler.come_back();
    let call = scheduler.call().await;
    assert_eq!(said(&call.said), Said::Stage("running"));
    call.answer(idle());
    gate.left().await;
    // Its client asks again.
    scheduler.hand_out(&handed.anew()).await;
    scheduler.stage("running").await;
    gate.open();
    let (_, response) = scheduler.completion().await;
    assert_eq!(response.result.unwrap().exit_code, 0);
}

#[tokio::test]
async fn a_result_that_nobody_was_there_for_is_told_and_found_again_when_it_is_wanted_anew() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("exit 3"), &[]).await;
    let handed = Handed::of(&scene, &action).await;
    scheduler.hand_out(&handed).await;
    scheduler.stage("running").await;
    gate.reached().await;
    scheduler.vanish();
    gate.open();
    eventually("the action to end", async || worker.commands_run() == 1.0).await;
    gate.left().await;
    scheduler.come_back();
    // The scheduler knows of nothing, but its client has asked again.
    loop {
        let call = scheduler.call().await;
        if let Said::Completed(_) = said(&call.said) {
            call.answer(execute(&handed.anew()));
            break;
        }
        call.answer(buildbarn::go_on());
    }
    let (_, response) = scheduler.completion().await;
    assert_eq!(response.result.unwrap().exit_code, 3);
    assert_eq!(worker.commands_run(), 1.0, "its result is there");
}

#[tokio::test]
async fn a_result_that_a_server_of_buildgrid_did_not_get_is_there_when_the_lease_comes_again() {
    let scene = Scene::start().await;
    let mut scheduler = buildgrid::start();
    let worker = scene.worker("buildgrid", &scheduler.address(), &[]);
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("exit 3"), &[]).await;
    let lease = lease("/1", &scene.message_of(&action).await);
    scheduler.hand_out(&lease).await;
    gate.reached().await;
    scheduler.vanish();
    gate.open();
    gate.left().await;
    eventually("the action to end", async || worker.commands_run() == 1.0).await;
    scheduler.come_back();
    let call = scheduler.call().await;
    assert!(!call.said.is_new);
    call.refuse(Status::new(Code::InvalidArgument, "Bot does not exist"));
    assert!(scheduler.hand_out(&lease).await.is_new);
    assert_eq!(result(&scheduler.completion(&lease).await).exit_code, 3);
    assert_eq!(worker.commands_run(), 1.0);
}

#[tokio::test]
async fn a_worker_that_was_killed_comes_back_as_who_it_was() {
    let scene = Scene::start().await;
    for name in [None, Some("given")] {
        let arguments: Vec<_> = name.into_iter().flat_map(|name| ["--name", name]).collect();
        let mut scheduler = buildbarn::start();
        let worker = scene.worker("buildbarn", &scheduler.address(), &arguments);
        let gate = Gate::new();
        let action = scene.client.action(&gate.script("cat input > output"), &[]).await;
        let handed = Handed::of(&scene, &action).await;
        let before = scheduler.hand_out(&handed).await;
        assert_eq!(before.worker_id["worker"], worker.name());
        if let Some(name) = name {
            assert_eq!(worker.name(), name);
        }
        scheduler.stage("running").await;
        gate.reached().await;
        worker.kill();
        gate.left().await;

        let worker = scene.worker("buildbarn", &scheduler.address(), &arguments);
        // As the scheduler does with whoever says that it does nothing.
        let after = scheduler.hand_out(&handed).await;
        assert_eq!(after.worker_id, before.worker_id);
        gate.open();
        let (_, response) = scheduler.completion().await;
        assert_eq!(response.result.unwrap().exit_code, 0);
        assert_eq!(worker.commands_run(), 1.0);
    }
}

#[tokio::test]
async fn a_killed_worker_has_the_same_name_for_every_engine() {
    let scene = Scene::start().await;
    let mut scheduler = buildgrid::start();
    let worker = scene.worker("buildgrid", &scheduler.address(), &[]);
    let before = scheduler.call().await.said.session.bot_id;
    let name = worker.name().to_owned();
    worker.kill();
    let worker = scene.worker("buildgrid", &scheduler.address(), &[]);
    assert_eq!(scheduler.call().await.said.session.bot_id, before);
    worker.kill();
    let mut scheduler = nativelink::start();
    let worker = scene.worker("nativelink", &scheduler.address(), &[]);
    assert_eq!(worker.name(), name);
    assert_eq!(scheduler.call().await.hello.worker_id_prefix, before.replace('/', "-"));
}
