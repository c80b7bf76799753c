//! Equal actions at the same time.

use crosswheel::queue::QueueSettings;
use crosswheel::reapi::longrunning::CancelOperationRequest;
use crosswheel::server::ExecutionSettings;
use tonic::Code;

use super::scene::{Scene, Stage, ask, code, end, host_pool, metadata, reach, response, update};

async fn scene(slots: usize) -> Scene {
    Scene::with(vec![host_pool(slots)], QueueSettings::default(), ExecutionSettings::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_run_serves_many_clients_who_have_operations_of_their_own() {
    let mut scene = scene(4).await;
    let action = scene.action(&["wait", "shared"]);
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(scene.execute(ask(action)).await.unwrap());
    }
    scene.until(|statistics| statistics.merged_total == 19).await;
    scene.next_run().await.exit(0);
    let mut names = std::collections::HashSet::new();
    for mut client in clients {
        let last = reach(&mut client, Stage::Completed).await;
        assert_eq!(code(&response(&last)), Code::Ok);
        assert!(!response(&last).cached_result);
        names.insert(last.name);
    }
    assert_eq!(names.len(), 20);
    assert_eq!(scene.queue.statistics().pools[0].started_total, 1);
    assert!(scene.runs.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_skips_the_cache_joins_what_runs() {
    let mut scene = scene(2).await;
    let action = scene.action(&["wait", "x"]);
    let one = scene.execute(ask(action)).await.unwrap();
    let run = scene.next_run().await;
    let mut two = scene.execute(ask(action).skipping_the_cache()).await.unwrap();
    reach(&mut two, Stage::Executing).await;
    run.exit(0);
    assert_eq!(code(&end(one).await), Code::Ok);
    assert_eq!(code(&end(two).await), Code::Ok);
    assert_eq!(scene.queue.statistics().merged_total, 1);
}

/// REAPI `Action.do_not_cache`: "in-flight requests for the same Action may not be merged".
#[tokio::test(flavor = "multi_thread")]
async fn actions_that_must_not_be_cached_are_not_merged() {
    let mut scene = scene(2).await;
    let action = scene.action_with(&["wait", "x"], |wanted| wanted.action.do_not_cache = true);
    let (one, two) = (scene.execute(ask(action)).await.unwrap(), scene.execute(ask(action)).await.unwrap());
    let (first, second) = (scene.next_run().await, scene.next_run().await);
    first.exit(1);
    second.exit(1);
    assert_eq!(end(one).await.result.unwrap().exit_code, 1);
    assert_eq!(end(two).await.result.unwrap().exit_code, 1);
    assert_eq!(scene.queue.statistics().merged_total, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_are_kept_apart() {
    let mut scene = scene(2).await;
    let action = scene.action(&["wait", "x"]);
    let one = scene.execute(ask(action).instance("one")).await.unwrap();
    let two = scene.execute(ask(action).instance("two")).await.unwrap();
    let runs = [scene.next_run().await, scene.next_run().await];
    let mut instances: Vec<&str> = runs.iter().map(|run| run.work.instance_name.as_str()).collect();
    instances.sort_unstable();
    assert_eq!(instances, ["one", "two"]);
    for run in runs {
        run.exit(0);
    }
    assert_eq!(code(&end(one).await), Code::Ok);
    assert_eq!(code(&end(two).await), Code::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_one_of_two_leaves_the_other_alone_and_the_last_kills() {
    let mut scene = scene(1).await;
    let action = scene.action(&["wait", "x"]);
    let mut one = scene.execute(ask(action)).await.unwrap();
    let mut two = scene.execute(ask(action)).await.unwrap();
    let run = scene.next_run().await;
    let first = reach(&mut one, Stage::Executing).await;
    let second = reach(&mut two, Stage::Executing).await;
    assert_eq!(metadata(&first).stdout_stream_name, metadata(&second).stdout_stream_name);
    scene.operations().cancel_operation(CancelOperationRequest { name: first.name }).await.unwrap();
    assert_eq!(code(&end(one).await), Code::Cancelled);
    assert!(run.is_alive());
    // A third client joins what still runs.
    let mut three = scene.execute(ask(action)).await.unwrap();
    let third = reach(&mut three, Stage::Executing).await;
    for name in [second.name, third.name] {
        scene.operations().cancel_operation(CancelOperationRequest { name }).await.unwrap();
    }
    assert_eq!(code(&end(two).await), Code::Cancelled);
    assert_eq!(code(&end(three).await), Code::Cancelled);
    scene.until(|statistics| statistics.pools[0].executing == 0).await;
    assert!(!run.is_alive());
    // Nobody joins what was killed.
    let mut again = scene.execute(ask(action)).await.unwrap();
    update(&mut again).await;
    scene.next_run().await.exit(0);
    assert_eq!(code(&end(again).await), Code::Ok);
}
