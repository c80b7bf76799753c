//! Actions that fail, and workers that do.

use crosswheel::reapi::RequestMetadata;
use prost::Message;
use tonic::Code;
use tonic_types::pb;

use super::scene::{Scene, ask, code};

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_is_a_result() {
    let scene = Scene::new().await;
    let response = scene.run(ask(scene.action(&["exit", "3"]))).await;
    assert_eq!(code(&response), Code::Ok);
    assert_eq!(response.result.unwrap().exit_code, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_executor_fails_the_action_and_the_slot_goes_on() {
    let scene = Scene::new().await;
    for _ in 0..3 {
        let response = scene.run(ask(scene.action(&["panic"]))).await;
        assert_eq!(code(&response), Code::Internal);
        // What it panicked with may have anything in it, and stands in the log.
        let message = response.status.unwrap().message;
        assert!(
            message.contains("its worker panicked") && !message.contains("as the script says"),
            "{message}"
        );
    }
    assert_eq!(code(&scene.run(ask(scene.action(&["exit", "0"]))).await), Code::Ok);
    let statistics = scene.queue.statistics();
    assert_eq!((statistics.outcomes.worker_failed_total, statistics.pools[0].executing), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_says_which_and_keeps_what_there_was() {
    let scene = Scene::new().await;
    let response = scene.run(ask(scene.action(&["time-out"]))).await;
    assert_eq!(code(&response), Code::DeadlineExceeded);
    let says = &response.status.as_ref().unwrap().message;
    assert_eq!(says, "killed after 1 s: the limit; what it wrote until then is in the result");
    assert_eq!(response.result.unwrap().stdout_raw, b"said");
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_that_are_missing_are_named_one_by_one() {
    let scene = Scene::new().await;
    let response = scene.run(ask(scene.action(&["missing"]))).await;
    assert_eq!(code(&response), Code::FailedPrecondition);
    let details = response.status.unwrap().details;
    let any = details.iter().find(|any| any.type_url.ends_with("google.rpc.PreconditionFailure")).unwrap();
    let failure = pb::PreconditionFailure::decode(&any.value[..]).unwrap();
    assert_eq!(failure.violations[0].r#type, "MISSING");
    assert!(failure.violations[0].subject.starts_with("blobs/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_executor_finds_invalid_names_its_field() {
    let scene = Scene::new().await;
    let response = scene.run(ask(scene.action(&["invalid"]))).await;
    assert_eq!(code(&response), Code::InvalidArgument);
    assert!(response.status.unwrap().message.starts_with("command.output_paths[0]"));
    let response = scene.run(ask(scene.action(&["broken"]))).await;
    assert_eq!(code(&response), Code::Internal);
    let message = response.status.unwrap().message;
    assert!(message.contains("make a directory") && !message.contains("on/fire"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_result_says_who_ran_it_and_since_when_it_waited() {
    let mut scene = Scene::new().await;
    let mut asking = ask(scene.action(&["wait", "x"]));
    asking.metadata = Some(RequestMetadata { target_id: "//a".into(), ..Default::default() });
    let updates = scene.execute(asking).await.unwrap();
    let run = scene.next_run().await;
    assert_eq!(run.work.request_metadata.as_ref().unwrap().target_id, "//a");
    run.exit(0);
    let metadata = super::scene::end(updates).await.result.unwrap().execution_metadata.unwrap();
    assert_eq!(metadata.worker, "native/0");
    let moments = [
        metadata.queued_timestamp.unwrap(),
        metadata.worker_start_timestamp.unwrap(),
        metadata.worker_completed_timestamp.unwrap(),
    ];
    assert!(moments.is_sorted_by_key(|moment| (moment.seconds, moment.nanos)), "{moments:?}");
}
