//! What a worker says to BuildGrid, and what it makes of what it hears.

use crosswheel::worker_protocols::bots::{BotStatus, LeaseState};
use tonic::Code;

use super::bots_scheduler::{self as buildgrid, lease, operation_metadata, progress, result};
use super::scene::{Gate, Scene};

#[tokio::test]
async fn a_lease_is_run_and_its_result_comes_with_the_session() {
    let scene = Scene::start().await;
    let mut scheduler = buildgrid::start();
    let worker = scene.worker("buildgrid", &scheduler.address(), &["--name", "w"]);
    let action = scene.client.action("tr a-z A-Z < input > output; echo said", &[]).await;
    let lease = lease("/1234-ab", &scene.message_of(&action).await);
    let said = scheduler.hand_out(&lease).await;
    assert!(said.is_new);
    assert_eq!((&*said.session.bot_id, said.session.status), ("w/native/0", BotStatus::Ok as i32));
    let device = &said.session.worker.as_ref().unwrap().devices[0];
    let names: Vec<_> = device.properties.iter().map(|property| &*property.key).collect();
    assert!(names.contains(&"Arch") && names.contains(&"OSFamily"), "{names:?}");

    let ended = scheduler.completion(&lease).await;
    assert_eq!(ended.status.clone().unwrap_or_default().code, 0);
    let result = result(&ended);
    assert_eq!(result.exit_code, 0);
    assert_eq!(scene.client.read(result.output_files[0].digest.as_ref().unwrap()).await, b"WHAT GOES IN");
    let metadata = result.execution_metadata.unwrap();
    assert_eq!(metadata.worker, format!("{}/native/0", worker.name()));
    assert!(metadata.worker_completed_timestamp.is_some() && metadata.execution_start_timestamp.is_some());
    assert_eq!(scene.cached(&action).await, None, "that is the server's business");
}

#[tokio::test]
async fn how_far_an_action_is_stands_in_a_header_that_names_its_lease() {
    let scene = Scene::start().await;
    let mut scheduler = buildgrid::start();
    let _worker = scene.worker("buildgrid", &scheduler.address(), &["--instance", "main"]);
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("cat input > output"), &[]).await;
    let message = scene.message_of(&action).await;
    let lease = lease("main/12-ab", &message);
    let call = scheduler.call().await;
    call.grant_with_metadata("session", &lease, &operation_metadata(&message));
    gate.reached().await;
    loop {
        let call = scheduler.call().await;
        let progress = progress(&call, "12-ab").expect("each report has it");
        assert!(progress.worker_start_timestamp.is_some());
        call.grant("session", std::slice::from_ref(&lease));
        if progress.execution_start_timestamp.is_some() {
            break;
        }
    }
    gate.open();
    scheduler.completion(&lease).await;
}

#[tokio::test]
async fn an_action_whose_lease_is_gone_is_dead_before_the_next_one_runs() {
    let scene = Scene::start().await;
    let mut scheduler = buildgrid::start();
    let _worker = scene.worker("buildgrid", &scheduler.address(), &[]);
    let gate = Gate::new();
    let unwanted = scene.client.action(&gate.script("true"), &[]).await;
    let unwanted = lease("/1", &scene.message_of(&unwanted).await);
    scheduler.hand_out(&unwanted).await;
    gate.reached().await;
    let call = scheduler.call().await;
    assert_eq!(call.said.session.leases[0].state(), LeaseState::Active);
    call.grant("session", &[]);
    gate.left().await;

    let next = scene.client.action("cat input > output", &[]).await;
    let next = lease("/2", &scene.message_of(&next).await);
    let said = scheduler.hand_out(&next).await;
    assert!(!said.is_new);
    let ended = scheduler.completion(&next).await;
    assert_eq!(result(&ended).exit_code, 0);
}

#[tokio::test]
async fn what_runs_is_not_given_up_for_a_second_lease() {
    let scene = Scene::start().await;
    let mut scheduler = buildgrid::start();
    let worker = scene.worker("buildgrid", &scheduler.address(), &[]);
    let gate = Gate::new();
    let first = scene.client.action(&gate.script("cat input > output"), &[]).await;
    let first = lease("/1", &scene.message_of(&first).await);
    let second = scene.client.action("true > output", &[]).await;
    let second = lease("/2", &scene.message_of(&second).await);
    scheduler.hand_out(&first).await;
    gate.reached().await;
    for _ in 0..2 {
        scheduler.call().await.grant("session", &[second.clone(), first.clone()]);
    }
    gate.open();
    loop {
        let call = scheduler.call().await;
        assert_eq!(call.said.session.leases[0].id, "/1");
        let ended = call.said.session.leases[0].state() == LeaseState::Completed;
        let leases = if ended { vec![second.clone()] } else { vec![second.clone(), first.clone()] };
        call.grant("session", &leases);
        if ended {
            break;
        }
    }
    assert_eq!(result(&scheduler.completion(&second).await).exit_code, 0);
    assert_eq!(worker.commands_run(), 2.0);
}

#[tokio::test]
async fn a_result_that_the_server_has_not_taken_is_told_again() {
    let scene = Scene::start().await;
    let mut scheduler = buildgrid::start();
    let worker = scene.worker("buildgrid", &scheduler.address(), &[]);
    let action = scene.client.action("cat input > output", &[]).await;
    let lease = lease("/1", &scene.message_of(&action).await);
    scheduler.hand_out(&lease).await;
    let mut told = 0;
    while told < 3 {
        let call = scheduler.call().await;
        told += u32::from(call.said.session.leases[0].state() == LeaseState::Completed);
        // As a server whose version of the session is another one.
        call.grant("session", std::slice::from_ref(&lease));
    }
    assert_eq!(result(&scheduler.completion(&lease).await).exit_code, 0);
    assert_eq!(worker.commands_run(), 1.0);
}

#[tokio::test]
async fn a_session_that_is_gone_begins_anew_and_what_it_had_goes_on() {
    let scene = Scene::start().await;
    let mut scheduler = buildgrid::start();
    let worker = scene.worker("buildgrid", &scheduler.address(), &[]);
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("cat input > output"), &[]).await;
    let lease = lease("/1", &scene.message_of(&action).await);
    let first = scheduler.hand_out(&lease).await;
    gate.reached().await;
    scheduler.call().await.refuse(tonic::Status::new(Code::InvalidArgument, "Bot does not exist"));
    let again = scheduler.hand_out(&lease).await;
    assert!(again.is_new);
    assert_eq!(again.session.bot_id, first.session.bot_id);
    gate.open();
    assert_eq!(result(&scheduler.completion(&lease).await).exit_code, 0);
    assert_eq!(worker.commands_run(), 1.0, "it has run on");
}

#[tokio::test]
async fn what_a_lost_session_had_is_killed_if_its_successor_has_something_else() {
    let scene = Scene::start().await;
    let mut scheduler = buildgrid::start();
    let _worker = scene.worker("buildgrid", &scheduler.address(), &[]);
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("true"), &[]).await;
    scheduler.hand_out(&lease("/1", &scene.message_of(&action).await)).await;
    gate.reached().await;
    scheduler.call().await.refuse(tonic::Status::invalid_argument("Mismatch"));
    let next = scene.client.action("cat input > output", &[]).await;
    let next = lease("/2", &scene.message_of(&next).await);
    assert!(scheduler.hand_out(&next).await.is_new);
    assert_eq!(result(&scheduler.completion(&next).await).exit_code, 0);
    gate.left().await;
}
