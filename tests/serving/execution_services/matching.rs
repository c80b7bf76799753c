//! Which pool runs an action, and what is refused because none can.

use std::time::Duration;

use crosswheel::queue::{QueueSettings, Timeouts};
use crosswheel::reapi::protobuf;
use crosswheel::server::ExecutionSettings;
use tonic::Code;
use tonic_types::StatusExt;

use super::scene::{Scene, ask, code, host_pool, platform, pool};

#[tokio::test(flavor = "multi_thread")]
async fn what_no_pool_offers_is_refused_at_once_and_explained() {
    let pools = vec![host_pool(1), pool("arm", 1, &[("Arch", "arm64"), ("OSFamily", "Linux")])];
    let scene = Scene::with(pools, QueueSettings::default(), ExecutionSettings::default()).await;
    let action = scene.action_with(&["exit", "0"], |wanted| {
        wanted.action.platform =
            Some(platform(&[("GPU", "a100"), ("ISA", "arm-a64"), ("OSFamily", "linux")]));
    });
    let refusal = scene.refusal(ask(action)).await;
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    let message = refusal.message();
    for part in
        ["GPU=a100, ISA=arm-a64, OSFamily=linux", "`native`", "`arm`", "closest is `arm`", "change GPU"]
    {
        assert!(message.contains(part), "`{part}` in: {message}");
    }
    let violations = refusal.get_details_precondition_failure().unwrap().violations;
    assert_eq!(violations.len(), 1);
    assert_eq!((violations[0].r#type.as_str(), violations[0].subject.as_str()), ("PLATFORM", "GPU=a100"));
    assert_eq!(scene.queue.statistics().refusals.unsatisfiable_total, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn spellings_of_other_clients_match() {
    let scene = Scene::new().await;
    let spellings: [&[(&str, &str)]; 4] = [
        &[("Arch", "amd64"), ("OSFamily", "Linux")],
        &[("ISA", "x86-64"), ("OSFamily", "linux")],
        &[("arch", "x86_64"), ("osfamily", "LINUX"), ("python", "3.12")],
        &[],
    ];
    for asked in spellings {
        let action =
            scene.action_with(&["exit", "0"], |wanted| wanted.action.platform = Some(platform(asked)));
        assert_eq!(code(&scene.run(ask(action)).await), Code::Ok, "{asked:?}");
    }
}

/// Bazel with `--experimental_remote_mark_tool_inputs`, Buck2 and reclient add such to what selects workers.
#[tokio::test(flavor = "multi_thread")]
async fn what_clients_add_for_reasons_of_their_own_keeps_no_action_from_running() {
    let asked = [
        ("Arch", "amd64"),
        ("cache-silo", "nightly"),
        ("cache-silo-key", "4f2a"),
        ("persistentWorkerKey", "b22d48cd"),
        ("persistentWorkerProtocol", "json"),
        ("reproxy-version", "0.185.0"),
    ];
    let scene = Scene::new().await;
    let action = scene.action_with(&["exit", "0"], |wanted| wanted.action.platform = Some(platform(&asked)));
    assert_eq!(code(&scene.run(ask(action)).await), Code::Ok);

    // Whoever offers one means it.
    let pools = vec![host_pool(1), pool("silo", 1, &[("Arch", "amd64"), ("Cache-Silo-Key", "4f2a")])];
    let mut scene = Scene::with(pools, QueueSettings::default(), ExecutionSettings::default()).await;
    let action =
        scene.action_with(&["wait", "one"], |wanted| wanted.action.platform = Some(platform(&asked)));
    let updates = scene.execute(ask(action)).await.unwrap();
    let run = scene.next_run().await;
    assert_eq!(run.work.worker, "silo/0");
    run.exit(0);
    super::scene::end(updates).await;
    let other = [("Arch", "amd64"), ("cache-silo-key", "another"), ("persistentWorkerKey", "b22d48cd")];
    let action = scene.action_with(&["exit", "0"], |wanted| wanted.action.platform = Some(platform(&other)));
    let refusal = scene.refusal(ask(action)).await;
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    assert!(refusal.message().contains("change cache-silo-key"), "{refusal}");
    assert!(!refusal.message().contains("persistentWorkerKey"), "{refusal}");
}

/// buck2 and Pants set nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn the_platform_of_the_command_counts_if_the_action_has_none() {
    let scene = Scene::new().await;
    #[allow(deprecated)]
    let action = scene.action_with(&["exit", "0"], |wanted| {
        wanted.command.platform = Some(platform(&[("Arch", "arm64")]));
    });
    let refusal = scene.refusal(ask(action)).await;
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    assert!(refusal.message().contains("Arch=arm64"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_preferred_pool_is_used_first_and_others_when_it_is_busy() {
    let mut emulated = pool("emulated", 1, &[("Arch", "amd64")]);
    emulated.preference = -1;
    let pools = vec![emulated, host_pool(1)];
    let mut scene = Scene::with(pools, QueueSettings::default(), ExecutionSettings::default()).await;
    let mut workers = Vec::new();
    for label in ["one", "two"] {
        let action = scene.action_with(&["wait", label], |wanted| {
            wanted.action.platform = Some(platform(&[("Arch", "amd64")]));
        });
        let updates = scene.execute(ask(action)).await.unwrap();
        let run = scene.next_run().await;
        workers.push(run.work.worker.clone());
        run.exit(0);
        // When it has ended, the preferred worker is idle again.
        super::scene::end(updates).await;
    }
    assert_eq!(workers, ["native/0", "native/0"]);
    let mut busy = Vec::new();
    for label in ["three", "four"] {
        let action = scene.action(&["wait", label]);
        let updates = scene.execute(ask(action)).await.unwrap();
        busy.push((updates, scene.next_run().await));
    }
    let workers: Vec<&str> = busy.iter().map(|(_, run)| run.work.worker.as_str()).collect();
    assert_eq!(workers, ["native/0", "emulated/0"]);
}

fn seconds(seconds: i64) -> Option<protobuf::Duration> {
    Some(protobuf::Duration { seconds, nanos: 0 })
}

#[tokio::test(flavor = "multi_thread")]
async fn timeouts_are_what_is_asked_for_or_the_default_and_never_more_than_the_maximum() {
    let timeouts = Timeouts { default: Duration::from_secs(60), maximum: Duration::from_secs(600) };
    let slow = Timeouts { default: Duration::from_secs(120), maximum: Duration::from_secs(1200) };
    let mut emulated = pool("emulated", 1, &[("Arch", "arm64")]);
    emulated.timeouts = Some(slow);
    let settings = QueueSettings { timeouts, ..QueueSettings::default() };
    let mut scene = Scene::with(vec![host_pool(1), emulated], settings, ExecutionSettings::default()).await;
    let cases =
        [("amd64", None, 60), ("arm64", None, 120), ("amd64", seconds(0), 60), ("amd64", seconds(600), 600)];
    for (index, (arch, timeout, expected)) in cases.into_iter().enumerate() {
        let action = scene.action_with(&["wait", &index.to_string()], |wanted| {
            wanted.action.platform = Some(platform(&[("Arch", arch)]));
            wanted.action.timeout = timeout;
        });
        let updates = scene.execute(ask(action)).await.unwrap();
        let run = scene.next_run().await;
        assert_eq!(run.work.timeout, Duration::from_secs(expected));
        run.exit(0);
        super::scene::end(updates).await;
    }
    for (timeout, says) in [(seconds(601), "10m at most"), (seconds(-1), "no time")] {
        let action = scene.action_with(&["exit", "0"], |wanted| {
            wanted.action.platform = Some(platform(&[("Arch", "amd64")]));
            wanted.action.timeout = timeout;
        });
        let refusal = scene.refusal(ask(action)).await;
        assert_eq!(refusal.code(), Code::InvalidArgument);
        assert!(refusal.message().starts_with("action.timeout"), "{refusal}");
        assert!(refusal.message().contains(says), "{refusal}");
    }
}
