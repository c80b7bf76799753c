//! Ten thousand actions at a time.

use std::sync::Arc;
use std::time::Instant;

use crosswheel::digest::{Digest, DigestFunction};
use crosswheel::execute::Executed;
use crosswheel::queue::{Outcome, Queue, QueueSettings, Submission};
use crosswheel::reapi::{Action, ActionResult, Command, Directory, RequestMetadata};
use crosswheel::server::ExecutionSettings;
use futures_util::{StreamExt, stream};
use tokio::task::JoinSet;
use tonic::Code;

use super::scene::{Scene, ask, code, end, host_pool};
use crate::support::waiting::within;

const ACTIONS: usize = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_actions_wait_and_all_are_run() {
    let (settings, execution) = (QueueSettings::default(), ExecutionSettings::default());
    let mut scene = Scene::without_workers(vec![host_pool(2)], settings, execution).await;
    let before = resident_kib();
    let command_digest = Some(scene.store_message(&command()).to_message());
    let input_root_digest = Some(scene.store_message(&Directory::default()).to_message());
    let actions: Vec<Digest> = (0..ACTIONS)
        .map(|index| {
            scene.store_message(&Action {
                command_digest: command_digest.clone(),
                input_root_digest: input_root_digest.clone(),
                salt: index.to_string().into_bytes(),
                ..Action::default()
            })
        })
        .collect();
    let mut clients = JoinSet::new();
    let mut started = stream::iter(actions).map(|action| scene.execute(ask(action))).buffer_unordered(64);
    while let Some(updates) = within("another action to be taken", started.next()).await {
        clients.spawn(async move { code(&end(updates.unwrap()).await) });
    }
    drop(started);
    scene.until(|statistics| statistics.queued == ACTIONS).await;
    let grown = resident_kib().saturating_sub(before);
    let started = Instant::now();
    scene.start_workers();
    assert_eq!(within("all actions to end", clients.join_all()).await, vec![Code::Ok; ACTIONS]);
    let ran = started.elapsed();
    let statistics = scene.queue.statistics();
    assert_eq!((statistics.queued, statistics.outcomes.succeeded_total), (0, ACTIONS as u64));
    println!("{ACTIONS} actions over a socket, both sides: {grown} KiB waiting; run in {ran:?}");
}

/// What the queue itself costs, without sockets, blobs and threads.
#[test]
fn the_queue_alone_takes_and_yields_ten_thousand_actions() {
    let (queue, mut slots) = Queue::new(vec![host_pool(1)], QueueSettings::default()).unwrap();
    let before = resident_kib();
    let started = Instant::now();
    let mut subscriptions = Vec::with_capacity(ACTIONS);
    for index in 0..ACTIONS {
        let submission = submission("client", index);
        let (subscription, check) = queue.open(submission).unwrap();
        check.not_found();
        subscriptions.push(subscription);
    }
    let queued = started.elapsed();
    let grown = resident_kib().saturating_sub(before);
    assert_eq!(queue.statistics().queued, ACTIONS);
    let started = Instant::now();
    for _ in 0..ACTIONS {
        let result = ActionResult::default();
        let executed = Executed { result, timed_out: false, exceeded: None, message: String::new() };
        slots[0].take().unwrap().finish(Outcome::Executed(executed));
    }
    let ran = started.elapsed();
    for mut subscription in subscriptions {
        assert!(subscription.current().outcome.is_some());
    }
    println!("{ACTIONS} actions: queued in {queued:?}, {grown} KiB; taken and finished in {ran:?}");
}

/// A client that asks for thirty thousand and goes away, each an invocation of its own: the next one does not notice.
#[test]
fn thirty_thousand_actions_that_were_left_behind_come_after_one_that_is_waited_for() {
    let (queue, mut slots) = Queue::new(vec![host_pool(1)], QueueSettings::default()).unwrap();
    let mut left_behind = Vec::new();
    for index in 0..3 * ACTIONS {
        let metadata = RequestMetadata { tool_invocation_id: index.to_string(), ..Default::default() };
        let submission = Submission {
            request_metadata: Some(Arc::new(metadata)),
            priority: i32::MIN,
            ..submission("gone", index)
        };
        let (subscription, check) = queue.open(submission).unwrap();
        check.not_found();
        left_behind.push(subscription);
    }
    let started = Instant::now();
    drop(left_behind);
    let left = started.elapsed();
    assert_eq!(queue.statistics().unattended, 3 * ACTIONS);
    let wanted = submission("another", 3 * ACTIONS);
    let digest = wanted.action_digest;
    let started = Instant::now();
    let (_subscription, check) = queue.open(wanted).unwrap();
    check.not_found();
    let assignment = slots[0].take().unwrap();
    let waited = started.elapsed();
    assert_eq!(assignment.order().action_digest, digest);
    println!("{} actions left behind in {left:?}; the next one waited {waited:?}", 3 * ACTIONS);
}

fn submission(client: &str, index: usize) -> Submission {
    Submission {
        instance_name: String::new(),
        client: client.into(),
        action_digest: DigestFunction::Sha256.digest(index.to_string().as_bytes()),
        do_not_cache: false,
        requirements: vec![("OSFamily".to_owned(), "linux".to_owned())].into(),
        timeout: None,
        priority: 0,
        request_metadata: None,
    }
}

/// As long as those of a C compiler usually are.
fn command() -> Command {
    let includes = (0..60).map(|number| format!("-Isome/include/path/{number}"));
    let arguments = ["exit".to_owned(), "0".to_owned()].into_iter().chain(includes).collect();
    Command { arguments, ..Default::default() }
}

fn resident_kib() -> usize {
    let status = fs_err::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
