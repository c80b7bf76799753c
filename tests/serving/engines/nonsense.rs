//! Schedulers that answer at once, and nonsense: a worker does not let them keep it busy.

use std::time::Duration;

use tonic::Status;

use super::bots_scheduler::{self as buildgrid, lease};
use super::buildbarn_scheduler::{self as buildbarn, Handed, execute, idle};
use super::nativelink_scheduler as nativelink;
use super::scene::{Gate, Scene};
use super::scheduler::{Heard, Scheduler};
use crate::support::waiting::pause_here;

/// For how long calls are counted.
const WHILE: Duration = Duration::from_secs(3);
/// Far less than a worker could say that does not wait, and more than one says that does.
const MOST: usize = 90;

/// Calls that come while each is answered at once.
async fn calls<C: Heard>(scheduler: &mut Scheduler<C>, mut answer: impl FnMut(C)) -> usize {
    let over = pause_here(WHILE);
    tokio::pin!(over);
    let mut count = 0;
    loop {
        tokio::select! {
            () = &mut over => return count,
            call = scheduler.call() => {
                count += 1;
                answer(call);
            }
        }
    }
}

#[tokio::test]
async fn a_scheduler_of_buildbarn_that_has_nothing_to_say_is_not_asked_all_the_time() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let _worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    let count = calls(&mut scheduler, |call| call.answer(idle())).await;
    assert!(count <= MOST, "{count} calls");
    let count = calls(&mut scheduler, |call| call.answer(Default::default())).await;
    assert!(count <= MOST, "{count} calls");
    let count = calls(&mut scheduler, |call| call.refuse(Status::internal("no"))).await;
    assert!(count <= MOST, "{count} calls");
}

#[tokio::test]
async fn actions_that_cannot_be_run_are_not_taken_all_the_time() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let _worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    let action = scene.client.action("true", &[]).await;
    let nonsense = Handed { digest_function: 999, ..Handed::of(&scene, &action).await };
    let count = calls(&mut scheduler, |call| call.answer(execute(&nonsense.anew()))).await;
    assert!(count <= MOST, "{count} calls");
}

#[tokio::test]
async fn an_action_that_is_handed_out_all_the_time_runs_on() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("cat input > output"), &[]).await;
    let handed = Handed::of(&scene, &action).await;
    let count = calls(&mut scheduler, |call| call.answer(execute(&handed))).await;
    assert!(count <= MOST, "{count} calls");
    gate.reached().await;
    gate.open();
    // Also once it has ended, which it does once.
    let count = calls(&mut scheduler, |call| call.answer(execute(&handed))).await;
    assert!(count <= MOST, "{count} calls");
    assert_eq!(worker.commands_run(), 1.0);
}

#[tokio::test]
async fn actions_that_take_turns_do_not_keep_the_machine_busy() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let _worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    let gate = Gate::new();
    let mut turns = Vec::new();
    for number in 0..2 {
        let action = scene.client.action(&gate.script(&format!("exit {number}")), &[]).await;
        turns.push(Handed::of(&scene, &action).await);
    }
    let mut turn = 0;
    let count = calls(&mut scheduler, |call| {
        turn += 1;
        call.answer(execute(&turns[turn % 2].anew()));
    })
    .await;
    assert!(count <= MOST, "{count} calls");
    scheduler.vanish();
    drop(scheduler);
    gate.open();
}

#[tokio::test]
async fn a_server_of_buildgrid_that_knows_no_session_is_not_asked_all_the_time() {
    let scene = Scene::start().await;
    let mut scheduler = buildgrid::start();
    let _worker = scene.worker("buildgrid", &scheduler.address(), &[]);
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("true"), &[]).await;
    let lease = lease("/1", &scene.message_of(&action).await);
    let count = calls(&mut scheduler, |call| {
        if call.said.is_new {
            call.grant("session", std::slice::from_ref(&lease));
        } else {
            call.refuse(Status::invalid_argument("Mismatch"));
        }
    })
    .await;
    assert!(count <= MOST, "{count} calls");
    gate.open();
}

#[tokio::test]
async fn a_scheduler_of_nativelink_that_greets_and_goes_is_not_called_all_the_time() {
    let scene = Scene::start().await;
    let mut scheduler = nativelink::start();
    let _worker = scene.worker("nativelink", &scheduler.address(), &[]);
    let count = calls(&mut scheduler, drop).await;
    assert!(count <= MOST, "{count} connections");
}
