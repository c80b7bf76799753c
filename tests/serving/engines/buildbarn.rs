//! What a worker says to Buildbarn, and what it makes of what it hears.

use crosswheel::reapi::protobuf::Any;
use crosswheel::reapi::{Action, RequestMetadata, moment};
use prost::Message;

use super::buildbarn_scheduler::{self as buildbarn, Handed, Said, execute, go_on, idle, said};
use super::scene::{Gate, Scene};
use crate::support::client::command;
use crate::support::waiting::eventually;

#[tokio::test]
async fn an_action_is_run_and_its_client_gets_all_of_it() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let worker = scene.worker("buildbarn", &scheduler.address(), &["--instance", "main"]);
    let gate = Gate::new();
    let action =
        scene.client.action(&gate.script("tr a-z A-Z < input > output; echo said; echo no >&2"), &[]).await;
    let mut handed = Handed::of(&scene, &action).await;
    let metadata = RequestMetadata { tool_invocation_id: "it".into(), ..Default::default() };
    let type_url = "type.googleapis.com/build.bazel.remote.execution.v2.RequestMetadata".to_owned();
    handed.auxiliary = vec![Any { type_url, value: metadata.encode_to_vec() }];
    let hello = scheduler.hand_out(&handed).await;
    assert!(hello.prefer_being_idle, "the first answer is to come at once");
    assert_eq!(hello.instance_name_prefix, "main");
    scheduler.stage("running").await;
    gate.open();
    let (stages, response) = scheduler.completion().await;
    let order = ["started", "fetching", "running", "uploading"];
    assert!(stages.iter().all(|stage| order[2..].contains(stage)), "{stages:?}");

    assert_eq!(response.status.unwrap_or_default().code, 0);
    let result = response.result.unwrap();
    assert_eq!((result.exit_code, result.output_files.len()), (0, 1));
    assert_eq!(scene.client.read(result.output_files[0].digest.as_ref().unwrap()).await, b"WHAT GOES IN");
    let metadata = result.execution_metadata.clone().unwrap();
    assert_eq!(metadata.worker, format!("{}/native/0", worker.name()));
    assert_eq!(metadata.queued_timestamp, Some(handed.queued));
    assert!(metadata.auxiliary_metadata.contains(&handed.auxiliary[0]));
    let moments = [
        metadata.queued_timestamp,
        metadata.worker_start_timestamp,
        metadata.input_fetch_start_timestamp,
        metadata.input_fetch_completed_timestamp,
        metadata.execution_start_timestamp,
        metadata.execution_completed_timestamp,
        metadata.output_upload_start_timestamp,
        metadata.output_upload_completed_timestamp,
        metadata.worker_completed_timestamp,
    ]
    .map(|at| moment(at.unwrap()).unwrap());
    assert!(moments.is_sorted(), "{moments:?}");
    let cached = scene.cached_in("main", &action).await.expect("the worker puts it there");
    assert_eq!(cached.output_files, result.output_files);
}

/// Others would get it from the action cache for what they asked.
#[tokio::test]
async fn what_is_run_is_what_the_digest_says_whatever_else_is_said() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let _worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    let [good, other] = ["echo good > output", "echo other > output"];
    let (good, other) = (scene.client.action(good, &[]).await, scene.client.action(other, &[]).await);
    let other = Action { do_not_cache: true, ..scene.message_of(&other).await };
    scheduler.hand_out(&Handed { action: Some(other), ..Handed::of(&scene, &good).await }).await;
    let (_, response) = scheduler.completion().await;
    let result = response.result.unwrap();
    assert_eq!(scene.client.read(result.output_files[0].digest.as_ref().unwrap()).await, b"good\n");
    assert!(scene.cached(&good).await.is_some(), "it wants to be cached");
}

#[tokio::test]
async fn the_result_of_a_fast_action_does_not_wait_for_its_stages() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    let action = scene.client.action("echo > output", &[]).await;
    scheduler.hand_out(&Handed::of(&scene, &action).await).await;
    let report = scheduler.call().await;
    eventually("the action to run", async || worker.commands_run() == 1.0).await;
    report.answer(go_on());
    let (_, response) = scheduler.completion().await;
    assert_eq!(response.result.unwrap().exit_code, 0);
}

#[tokio::test]
async fn only_what_others_may_have_is_put_into_the_action_cache() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let _worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    let failing = scene.client.action("echo > output; exit 3", &[]).await;
    let private = scene.client.action("echo > output", &[]).await;
    let private = scene.changed(&private, |action| action.do_not_cache = true).await;
    for (action, exit_code) in [(failing, 3), (private, 0)] {
        scheduler.hand_out(&Handed::of(&scene, &action).await).await;
        let (_, response) = scheduler.completion().await;
        assert_eq!(response.status.unwrap_or_default().code, 0);
        assert_eq!(response.result.unwrap().exit_code, exit_code);
        assert_eq!(scene.cached(&action).await, None);
    }
}

#[tokio::test]
async fn an_action_that_is_not_wanted_any_more_is_dead_before_the_next_one_runs() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let _worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    let gate = Gate::new();
    let unwanted = scene.client.action(&gate.script("true"), &[]).await;
    scheduler.hand_out(&Handed::of(&scene, &unwanted).await).await;
    scheduler.stage("running").await;
    gate.reached().await;
    scheduler.call().await.answer(idle());
    gate.left().await;

    let next = scene.client.action("cat input > output", &[]).await;
    // What was killed is not told: the worker is free.
    scheduler.hand_out(&Handed::of(&scene, &next).await).await;
    let (_, response) = scheduler.completion().await;
    assert_eq!(response.result.unwrap().exit_code, 0);
    assert_eq!(scene.cached(&unwanted).await, None);
}

#[tokio::test]
async fn another_action_in_place_of_the_one_that_runs_is_run_when_that_is_dead() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let _worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    let gate = Gate::new();
    let unwanted = scene.client.action(&gate.script("true"), &[]).await;
    scheduler.hand_out(&Handed::of(&scene, &unwanted).await).await;
    scheduler.stage("running").await;
    gate.reached().await;
    let next = scene.client.action("cat input > output", &[]).await;
    scheduler.call().await.answer(execute(&Handed::of(&scene, &next).await));
    let (_, response) = scheduler.completion().await;
    assert_eq!(response.result.unwrap().exit_code, 0);
    assert!(scene.cached(&next).await.is_some());
    gate.left().await;
}

#[tokio::test]
async fn slots_are_workers_of_their_own_with_the_platform_of_their_pool_in_order() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let pool = ["--pool", "p,slots=2,Zoo=1,Abc=2", "--name", "w", "--size-class", "3"];
    let _worker = scene.worker("buildbarn", &scheduler.address(), &pool);
    let mut slots = Vec::new();
    // None of them waits for another.
    let mut calls = Vec::new();
    while slots.len() < 2 {
        let call = scheduler.call().await;
        assert_eq!(said(&call.said), Said::Idle);
        assert_eq!((&*call.said.worker_id["worker"], &*call.said.worker_id["pool"]), ("w", "p"));
        assert_eq!(call.said.size_class, 3);
        let properties = call.said.platform.as_ref().unwrap().properties.iter();
        let names: Vec<_> = properties.map(|property| property.name.clone()).collect();
        assert_eq!(names, ["Abc", "Arch", "OSFamily", "Zoo"]);
        slots.push(call.said.worker_id["slot"].clone());
        calls.push(call);
    }
    slots.sort();
    assert_eq!(slots, ["0", "1"]);
}

#[tokio::test]
async fn what_was_found_out_is_announced_if_that_is_wanted() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let _worker = scene.worker("buildbarn", &scheduler.address(), &["--announce", "all"]);
    let call = scheduler.call().await;
    let properties = call.said.platform.as_ref().unwrap().properties.clone();
    assert!(properties.iter().any(|property| property.name == "libc"), "{properties:?}");
    assert!(properties.is_sorted_by_key(|property| (property.name.clone(), property.value.clone())));
}

#[tokio::test]
async fn an_action_that_takes_too_long_is_told_with_what_it_wrote() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let _worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    let command = command(&["sh", "-c", "echo said; sleep 1000"], &[("PATH", "/usr/bin:/bin")], "output");
    let action = scene.client.action_of(command, "input", b"", &[]).await;
    let mut handed = Handed::of(&scene, &action).await;
    // As the scheduler fills it in.
    let timeout = crosswheel::reapi::protobuf::Duration { seconds: 2, nanos: 0 };
    handed.action.as_mut().unwrap().timeout = Some(timeout);
    scheduler.hand_out(&handed).await;
    let (_, response) = scheduler.completion().await;
    assert_eq!(response.status.unwrap().code, tonic::Code::DeadlineExceeded as i32);
    let result = response.result.unwrap();
    assert_ne!(result.exit_code, 0);
    let stdout = match result.stdout_digest {
        Some(digest) => scene.client.read(&digest).await,
        None => result.stdout_raw,
    };
    assert_eq!(stdout, b"said\n");
    assert_eq!(scene.cached(&action).await, None);
}
