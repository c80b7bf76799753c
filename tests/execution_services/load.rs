//! Ten thousand actions at a time.

use std::time::Instant;

use crosswheel::queue::QueueSettings;
use crosswheel::server::ExecutionSettings;
use tonic::Code;

use super::scene::{Scene, Stage, ask, code, end, host_pool, reach};

const ACTIONS: usize = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_actions_wait_and_all_are_run() {
    let (settings, execution) = (QueueSettings::default(), ExecutionSettings::default());
    let mut scene = Scene::without_workers(vec![host_pool(2)], settings, execution).await;
    let before = resident_kib();
    let started = Instant::now();
    let mut waiting = Vec::with_capacity(ACTIONS);
    for index in 0..ACTIONS {
        let action = scene.action_with(&["exit", "0"], |wanted| {
            // As long as those of a C compiler usually are.
            wanted.command.arguments.extend((0..60).map(|number| format!("-Isome/include/path/{number}")));
            wanted.action.salt = index.to_string().into_bytes();
        });
        waiting.push(scene.execute(ask(action)).await.unwrap());
    }
    for updates in &mut waiting {
        reach(updates, Stage::Queued).await;
    }
    let queued = started.elapsed();
    let grown = resident_kib().saturating_sub(before);
    assert_eq!(scene.queue.statistics().queued, ACTIONS);
    let started = Instant::now();
    scene.start_workers();
    for updates in waiting {
        assert_eq!(code(&end(updates).await), Code::Ok);
    }
    let ran = started.elapsed();
    let statistics = scene.queue.statistics();
    assert_eq!(statistics.queued, 0);
    assert_eq!(statistics.outcomes.succeeded_total, ACTIONS as u64);
    // Both sides of the sockets and the making of the actions included.
    println!("{ACTIONS} actions: queued in {queued:?}, {grown} KiB; run in {ran:?}");
}

fn resident_kib() -> usize {
    let status = fs_err::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
