//! How a worker reaches its schedulers, and when it does not want to.

use std::time::{Duration, SystemTime};

use crosswheel::reapi::timestamp;
use crosswheel::worker_protocols::bots::BotStatus;
use crosswheel::worker_protocols::nativelink::update_for_scheduler::Update as ForScheduler;
use rustix::process::Signal;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use super::bots_scheduler::{self as buildgrid, lease, result};
use super::buildbarn_scheduler::{self as buildbarn, Handed, Said, idle, said};
use super::nativelink::response;
use super::nativelink_scheduler::{self as nativelink, start_execute};
use super::scene::{Gate, Scene};
use super::scheduler::Heard;
use crate::support::certificates::{AUTHORITY, CERTIFICATE, KEY};
use crate::support::waiting::{eventually, pause_here};

#[tokio::test]
async fn the_next_scheduler_is_asked_when_one_is_gone() {
    let scene = Scene::start().await;
    let (mut first, mut second) = (buildbarn::start(), buildbarn::start());
    let worker = scene.worker("buildbarn", &first.address(), &["--scheduler", &second.address()]);
    first.call().await.answer(idle());
    let _waiting = first.call().await;
    first.vanish();
    let action = scene.client.action("cat input > output", &[]).await;
    let hello = second.hand_out(&Handed::of(&scene, &action).await).await;
    assert!(hello.prefer_being_idle, "whether there is anybody is to be known at once");
    let (_, response) = second.completion().await;
    assert_eq!(response.result.unwrap().exit_code, 0);
    // And back.
    let _waiting = second.call().await;
    second.vanish();
    first.come_back();
    assert_eq!(said(&first.call().await.said), Said::Idle);
    assert_eq!(worker.commands_run(), 1.0);
}

#[tokio::test]
async fn a_scheduler_that_is_not_there_at_the_start_is_waited_for() {
    let scene = Scene::start().await;
    let mut scheduler = nativelink::start();
    scheduler.vanish();
    let worker = scene.worker("nativelink", &scheduler.address(), &[]);
    let (status, why) = worker.get("/readyz");
    assert!(status.contains("503"), "{status} {why}");
    scheduler.come_back();
    let _connection = scheduler.call().await;
    eventually("it to be ready", async || worker.get("/readyz").0.contains("200")).await;
}

/// Another one knows nothing of it, and would say that it is not wanted.
#[tokio::test]
async fn a_scheduler_of_buildbarn_that_is_gone_for_a_moment_is_told_of_its_action_and_no_other() {
    let scene = Scene::start().await;
    let (mut first, mut second) = (buildbarn::start(), buildbarn::start());
    let worker = scene.worker("buildbarn", &first.address(), &["--scheduler", &second.address()]);
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("cat input > output"), &[]).await;
    first.hand_out(&Handed::of(&scene, &action).await).await;
    first.stage("running").await;
    gate.reached().await;
    first.vanish();
    eventually("trouble to be told", async || worker.get("/readyz").0.contains("503")).await;
    gate.open();
    gate.left().await;
    first.come_back();
    let (_, response) = first.completion().await;
    assert_eq!(response.result.unwrap().exit_code, 0);
    assert_eq!(second.unheard().len(), 0);
}

#[tokio::test]
async fn both_sides_show_their_certificates() {
    let scene = Scene::start().await;
    let place = |name: &str, text: &str| {
        let path = scene.directory.path().join(name);
        fs_err::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (authority, certificate) = (place("ca.pem", AUTHORITY), place("worker.pem", CERTIFICATE));
    let key = place("worker.key", KEY);
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(CERTIFICATE, KEY))
        .client_ca_root(Certificate::from_pem(AUTHORITY));
    let mut scheduler = buildbarn::start().with_tls(tls);
    let known = ["--scheduler-ca", &authority, "--scheduler-cert", &certificate, "--scheduler-key", &key];
    // Who does not show one is not heard, and who does not know the authority does not speak.
    let refusals: [(&[&str], &str); 2] = [(&known[..2], "connection"), (&[], "certificate")];
    for (refused, expected) in refusals {
        let worker = scene.worker("buildbarn", &scheduler.address(), refused);
        let starting = "no scheduler has answered yet";
        let mut said = String::new();
        eventually("trouble to be told", async || {
            let (status, why) = worker.get("/readyz");
            said = why;
            status.contains("503") && !said.contains(starting)
        })
        .await;
        assert!(said.to_lowercase().contains(expected), "{said}");
        assert_eq!(scheduler.unheard().len(), 0);
        worker.kill();
    }
    let _worker = scene.worker("buildbarn", &scheduler.address(), &known);
    let action = scene.client.action("cat input > output", &[]).await;
    scheduler.hand_out(&Handed::of(&scene, &action).await).await;
    let (_, response) = scheduler.completion().await;
    assert_eq!(response.result.unwrap().exit_code, 0);
}

#[tokio::test]
async fn headers_come_with_every_call_and_may_be_in_a_file() {
    let scene = Scene::start().await;
    let token = scene.directory.path().join("token");
    fs_err::write(&token, "Bearer hunter22\n").unwrap();
    let header = format!("authorization=@{}", token.display());
    let headers = ["--scheduler-header", &header, "--scheduler-header", "x-more=1"];
    let mut of_buildgrid = buildgrid::start();
    let worker = scene.worker("buildgrid", &of_buildgrid.address(), &headers);
    for _ in 0..2 {
        let call = of_buildgrid.call().await;
        assert_eq!(call.headers.get("authorization").unwrap(), "Bearer hunter22");
        assert_eq!(call.headers.get("x-more").unwrap(), "1");
        call.grant("session", &[]);
    }
    worker.kill();
    let mut of_nativelink = nativelink::start();
    let _worker = scene.worker("nativelink", &of_nativelink.address(), &headers);
    assert_eq!(of_nativelink.call().await.headers.get("authorization").unwrap(), "Bearer hunter22");
}

/// More than any disk has.
const UNWELL: [&str; 2] = ["--min-free-bytes", "1000000TiB"];

#[tokio::test]
async fn a_machine_that_is_unwell_takes_no_work_and_says_why() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let worker = scene.worker("buildbarn", &scheduler.address(), &UNWELL);
    let call = scheduler.call().await;
    assert_eq!((said(&call.said), call.said.prefer_being_idle), (Said::Idle, true));
    call.answer(idle());
    eventually("what is wrong to be told", async || {
        let (status, why) = worker.get("/readyz");
        status.contains("503") && why.contains("min-free-bytes")
    })
    .await;
    assert_eq!(worker.metric(r#"crosswheel_unwell{need="disk"}"#), 1.0);
    assert_eq!(worker.metric(r#"crosswheel_unwell{need="memory"}"#), 0.0);
    pause_here(Duration::from_secs(3)).await;
    assert_eq!(scheduler.unheard().len(), 0, "the scheduler forgets it if it hears nothing");
    // It is not expected any more.
    worker.signal(Signal::TERM);
    assert_eq!(worker.exit().code(), Some(0));
    assert_eq!(scheduler.unheard().len(), 0);
}

/// Every action would fail.
#[tokio::test]
async fn a_worker_whose_cas_is_gone_takes_no_work_and_says_why() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    scheduler.call().await.answer(idle());
    let _waiting = scheduler.call().await;
    assert_eq!(worker.metric(r#"crosswheel_unwell{need="cas"}"#), 0.0);
    let _directory = scene.lose_cas();
    let call = scheduler.call().await;
    assert_eq!((said(&call.said), call.said.prefer_being_idle), (Said::Idle, true));
    call.answer(idle());
    eventually("what is wrong to be told", async || {
        let (status, why) = worker.get("/readyz");
        status.contains("503") && why.contains("the CAS grpc://")
    })
    .await;
    assert_eq!(worker.metric(r#"crosswheel_unwell{need="cas"}"#), 1.0);
}

#[tokio::test]
async fn a_machine_that_is_unwell_from_the_start_does_not_come_to_nativelink_and_buildgrid() {
    let scene = Scene::start().await;
    let mut of_nativelink = nativelink::start();
    let worker = scene.worker("nativelink", &of_nativelink.address(), &UNWELL);
    pause_here(Duration::from_secs(1)).await;
    assert_eq!(of_nativelink.unheard().len(), 0);
    worker.signal(Signal::TERM);
    assert_eq!(worker.exit().code(), Some(0));
    let mut of_buildgrid = buildgrid::start();
    let _worker = scene.worker("buildgrid", &of_buildgrid.address(), &UNWELL);
    pause_here(Duration::from_secs(1)).await;
    assert_eq!(of_buildgrid.unheard().len(), 0);
}

#[tokio::test]
async fn a_machine_that_becomes_unwell_takes_no_work_until_it_is_well_again() {
    let scene = Scene::start().await;
    let action = scene.client.action("cat input > output", &[]).await;

    let mut of_buildgrid = buildgrid::start();
    let worker = scene.worker("buildgrid", &of_buildgrid.address(), &[]);
    of_buildgrid.call().await.grant("session", &[]);
    let _waiting = of_buildgrid.call().await;
    let before = worker.limit_open_files();
    let call = of_buildgrid.call().await;
    assert_eq!(call.said.session.status, BotStatus::Unhealthy as i32);
    call.grant("session", &[]);
    worker.allow_open_files(before);
    let lease = lease("/1", &scene.message_of(&action).await);
    let said = of_buildgrid.hand_out(&lease).await;
    assert_eq!((said.is_new, said.session.status), (false, BotStatus::Ok as i32));
    assert_eq!(result(&of_buildgrid.completion(&lease).await).exit_code, 0);
    worker.kill();

    let mut of_nativelink = nativelink::start();
    let worker = scene.worker("nativelink", &of_nativelink.address(), &[]);
    let mut connection = of_nativelink.call().await;
    let before = worker.limit_open_files();
    assert!(matches!(connection.heard().await, Some(ForScheduler::GoingAwayRequest(_))));
    drop(connection);
    worker.allow_open_files(before);
    let mut connection = of_nativelink.call().await;
    connection.hand_out(&start_execute("one", &action));
    assert_eq!(response(connection.result("one").await).result.unwrap().exit_code, 0);
}

/// An answer may be on its way while the worker gives up waiting for it: the scheduler hands the action out again.
#[tokio::test]
async fn an_action_that_came_while_the_worker_was_ending_is_run() {
    let scene = Scene::start().await;
    let mut scheduler = buildbarn::start();
    let worker = scene.worker("buildbarn", &scheduler.address(), &[]);
    scheduler.call().await.answer(idle());
    let waiting = scheduler.call().await;
    worker.signal(Signal::TERM);
    let goodbye = scheduler.call().await;
    eventually("the call before to be given up", async || waiting.is_given_up()).await;
    let gate = Gate::new();
    let action = scene.client.action(&gate.script("cat input > output"), &[]).await;
    let mut handed = Handed::of(&scene, &action).await;
    handed.queued = timestamp(SystemTime::now() - Duration::from_secs(60));
    goodbye.answer(buildbarn::execute(&handed));
    gate.open();
    let (_, response) = scheduler.completion().await;
    assert_eq!(response.result.unwrap().exit_code, 0);
    scheduler.call().await.answer(idle());
    assert_eq!(worker.exit().code(), Some(0));
}
