//! In which order actions run.

use crosswheel::queue::QueueSettings;
use crosswheel::server::ExecutionSettings;
use tonic::Code;

use super::scene::{Asking, Scene, Stage, ask, code, end, host_pool, reach, update};

/// Queues actions in this order while nothing runs, and returns the labels in the order in which they run.
async fn order(asked: &[(&str, i32, &str)]) -> Vec<String> {
    let (settings, execution) = (QueueSettings::default(), ExecutionSettings::default());
    let mut scene = Scene::without_workers(vec![host_pool(1)], settings, execution).await;
    let mut waiting = Vec::new();
    for (label, priority, invocation) in asked {
        let action = scene.action(&["wait", label]);
        let asking = ask(action).priority(*priority).invocation(invocation);
        let mut updates = scene.execute(asking).await.unwrap();
        reach(&mut updates, Stage::Queued).await;
        waiting.push(updates);
    }
    scene.start_workers();
    let mut order = Vec::new();
    for _ in asked {
        let run = scene.next_run().await;
        order.push(run.label().to_owned());
        run.exit(0);
    }
    for updates in waiting {
        assert_eq!(code(&end(updates).await), Code::Ok);
    }
    order
}

/// REAPI `ExecutionPolicy.priority`: lower values run sooner. (NativeLink has it the other way round.)
#[tokio::test(flavor = "multi_thread")]
async fn lower_priority_values_run_first_and_equals_in_order() {
    let asked = [("a", 0, ""), ("b", 10, ""), ("c", -5, ""), ("d", 0, ""), ("e", i32::MIN, "")];
    assert_eq!(order(&asked).await, ["e", "c", "a", "d", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_build_does_not_keep_out_a_short_one() {
    let asked = [("1", 0, "long"), ("2", 0, "long"), ("3", 0, "long"), ("4", 0, "short"), ("5", 0, "short")];
    assert_eq!(order(&asked).await, ["1", "4", "2", "5", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_becomes_as_urgent_as_the_most_urgent_client_that_wants_it() {
    let asked = [("first", 0, ""), ("both", 5, ""), ("both", -5, "")];
    let (settings, execution) = (QueueSettings::default(), ExecutionSettings::default());
    let mut scene = Scene::without_workers(vec![host_pool(1)], settings, execution).await;
    let mut waiting = Vec::new();
    for (label, priority, _) in asked {
        let action = scene.action(&["wait", label]);
        let mut updates = scene.execute(ask(action).priority(priority)).await.unwrap();
        reach(&mut updates, Stage::Queued).await;
        waiting.push(updates);
    }
    assert_eq!(scene.queue.statistics().queued, 2);
    scene.start_workers();
    for label in ["both", "first"] {
        let run = scene.next_run().await;
        assert_eq!(run.label(), label);
        run.exit(0);
    }
    for updates in waiting {
        end(updates).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_says_when_to_come_back() {
    let settings = QueueSettings { max_queued: 2, ..QueueSettings::default() };
    let scene = Scene::without_workers(vec![host_pool(1)], settings, ExecutionSettings::default()).await;
    let asking = |label: &str| -> Asking { ask(scene.action(&["wait", label])) };
    let mut waiting = Vec::new();
    for label in ["a", "b"] {
        let mut updates = scene.execute(asking(label)).await.unwrap();
        reach(&mut updates, Stage::Queued).await;
        waiting.push(updates);
    }
    let full = scene.run(asking("c")).await;
    assert_eq!(code(&full), Code::ResourceExhausted);
    let status = full.status.unwrap();
    assert!(status.details.iter().any(|any| any.type_url.ends_with("google.rpc.RetryInfo")), "{status:?}");
    // What waits already can be joined.
    let mut merged = scene.execute(asking("a")).await.unwrap();
    reach(&mut merged, Stage::Queued).await;
    drop(update(&mut scene.execute(asking("b")).await.unwrap()).await);
}
