//! What is served from the action cache, and what gets into it.

use crosswheel::cas::ActionCache;
use crosswheel::digest::Digest;
use crosswheel::reapi::{ActionResult, OutputFile};
use tonic::Code;

use super::scene::{Scene, ask, code};

fn cached(scene: &Scene, action: &Digest) -> Option<ActionResult> {
    scene.store.get("", action).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_time_the_result_comes_from_the_cache() {
    let scene = Scene::new().await;
    let action = scene.action(&["exit", "0"]);
    let first = scene.run(ask(action)).await;
    assert!(!first.cached_result);
    let second = scene.run(ask(action)).await;
    assert!(second.cached_result);
    assert_eq!(second.result, first.result);
    assert_eq!(code(&second), Code::Ok);
    let statistics = scene.queue.statistics();
    assert_eq!((statistics.pools[0].started_total, statistics.outcomes.cached_total), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_skips_the_cache_has_the_action_run_and_replaces_the_result() {
    let scene = Scene::new().await;
    let action = scene.action(&["exit", "0"]);
    let poisoned = ActionResult { stdout_raw: b"poison".to_vec(), ..Default::default() };
    scene.store.put("", &action, &poisoned).unwrap();
    let fresh = scene.run(ask(action).skipping_the_cache()).await;
    assert!(!fresh.cached_result);
    assert_eq!(cached(&scene, &action), fresh.result);
    assert!(scene.run(ask(action)).await.cached_result);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_of_one_instance_do_not_serve_another() {
    let scene = Scene::new().await;
    let action = scene.action(&["exit", "0"]);
    scene.run(ask(action).instance("one")).await;
    assert!(!scene.run(ask(action).instance("two")).await.cached_result);
    assert!(scene.run(ask(action).instance("one")).await.cached_result);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_ran_to_its_end_and_succeeded_is_cached() {
    let scene = Scene::new().await;
    for arguments in [&["exit", "1"][..], &["time-out"], &["panic"], &["missing"], &["broken"]] {
        let action = scene.action(arguments);
        scene.run(ask(action)).await;
        assert_eq!(cached(&scene, &action), None, "{arguments:?}");
    }
}

/// Clients such as recc keep failures for themselves in the cache.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_a_client_put_into_the_cache_is_not_served_as_executed() {
    let scene = Scene::new().await;
    let action = scene.action(&["exit", "0"]);
    let failed = ActionResult { exit_code: 1, stdout_raw: b"poison".to_vec(), ..Default::default() };
    scene.store.put("", &action, &failed).unwrap();
    let executed = scene.run(ask(action)).await;
    assert!(!executed.cached_result);
    assert_eq!(executed.result.as_ref().map(|result| result.exit_code), Some(0));
    assert_eq!(cached(&scene, &action), executed.result);
    assert!(scene.run(ask(action)).await.cached_result);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_cached_is_neither_looked_up_nor_stored() {
    let scene = Scene::new().await;
    let action = scene.action_with(&["exit", "0"], |wanted| wanted.action.do_not_cache = true);
    assert!(!scene.run(ask(action)).await.cached_result);
    assert_eq!(cached(&scene, &action), None);
    scene.store.put("", &action, &ActionResult::default()).unwrap();
    assert!(!scene.run(ask(action)).await.cached_result);
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_are_inlined_where_asked_for_and_not_in_the_cache() {
    let scene = Scene::new().await;
    let action = scene.action(&["exit", "0"]);
    let file = |path: &str, contents: &[u8]| OutputFile {
        path: path.to_owned(),
        digest: Some(scene.store_bytes(contents).to_message()),
        ..Default::default()
    };
    let result = ActionResult {
        output_files: vec![file("a", b"AAA"), file("b", b"BBB")],
        stdout_digest: Some(scene.store_bytes(b"out").to_message()),
        stderr_digest: Some(scene.store_bytes(b"err").to_message()),
        ..Default::default()
    };
    scene.store.put("", &action, &result).unwrap();
    let mut asking = ask(action);
    asking.request.inline_stdout = true;
    asking.request.inline_output_files = vec!["b".to_owned()];
    let inlined = scene.run(asking).await.result.unwrap();
    assert_eq!((&inlined.stdout_raw[..], &inlined.stderr_raw[..]), (&b"out"[..], &b""[..]));
    assert_eq!(
        (&inlined.output_files[0].contents[..], &inlined.output_files[1].contents[..]),
        (&b""[..], &b"BBB"[..])
    );
    assert_eq!(scene.run(ask(action)).await.result, Some(result));
}
