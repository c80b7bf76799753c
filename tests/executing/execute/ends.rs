//! How actions end, and what is left of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crosswheel::cancellation::Cancellation;
use crosswheel::execute::{ExecuteError, ResourceUsage, Stage};
use crosswheel::reapi::protobuf;

use super::scene::{Root, Scene, Watcher, sh};
use crate::support::processes::{processes_with, token};
use crate::support::waiting::wait_until;

fn scenes() -> [Scene; 2] {
    [Scene::new(), Scene::plain()]
}

#[test]
fn exit_codes_and_signals_are_reported() {
    for scene in scenes() {
        assert_eq!(scene.run(&Root::default(), sh("exit 7", &[])).result.exit_code, 7);
        let killed = scene.run(&Root::default(), sh("kill -SEGV $$", &[]));
        assert_eq!(killed.result.exit_code, 139);
        assert!(killed.message.contains("signal 11"), "{}", killed.message);
        assert!(!killed.is_cacheable());
    }
}

#[test]
fn what_timed_out_is_dead_and_its_logs_and_outputs_are_kept() {
    for scene in scenes() {
        let token = token();
        let script = format!(
            "echo before; echo x > out/x
            (setsid sh -c 'while :; do sleep 1000; done' {token} &)
            echo last words >&2; sleep 1000"
        );
        let root = scene.upload(&Root::default().large());
        let mut work = scene.work(root, sh(&script, &["out/x", "out/y"]));
        work.timeout = Duration::from_secs(1);
        let executed = scene.execute(&work).unwrap();
        assert!(executed.timed_out && !executed.is_cacheable());
        assert_eq!(executed.result.stdout_raw, b"before\n");
        assert_eq!(executed.result.stderr_raw, b"last words\n");
        assert_eq!(scene.output(&executed, "out/x"), b"x\n");
        assert!(executed.message.contains("timeout"), "{}", executed.message);
        assert_eq!(processes_with(&token).len(), 0);
    }
}

#[test]
fn who_timed_out_is_told_the_limit_and_whose_it_is() {
    let scene = Scene::plain();
    let root = scene.upload(&Root::default());
    for (asked, says) in [
        (Some(1), "the timeout that the action asks for is 1 s"),
        (Some(0), "the pool's default is 1 s (default-timeout of the server)"),
        (None, "the pool's default is 1 s (default-timeout of the server)"),
    ] {
        let mut work = scene.work(root, sh("sleep 1000", &[]));
        work.timeout = Duration::from_secs(1);
        work.action.timeout = asked.map(|seconds| protobuf::Duration { seconds, nanos: 0 });
        let executed = scene.execute(&work).unwrap();
        assert!(executed.message.lines().next().unwrap().contains(says), "{}", executed.message);
    }
}

#[test]
fn a_daemonised_grandchild_is_gone_after_the_action() {
    for scene in scenes() {
        let token = token();
        let script =
            format!("(setsid sh -c 'sleep 1000; :' {token} >/dev/null 2>&1 &) ; sleep 0.1; echo done");
        let executed = scene.run(&Root::default(), sh(&script, &[]));
        assert_eq!(scene.stdout(&executed), "done\n");
        assert_eq!(processes_with(&token).len(), 0);
    }
}

#[test]
fn a_grandchild_that_keeps_the_logs_open_does_not_keep_the_action() {
    for scene in scenes() {
        let executed = scene.run(&Root::default(), sh("(setsid sleep 1000 &); echo done", &[]));
        assert_eq!(scene.stdout(&executed), "done\n");
    }
}

#[test]
fn a_cancelled_action_is_dead_and_has_no_result() {
    for scene in scenes() {
        let token = token();
        let root = scene.upload(&Root::default());
        let work = scene.work(root, sh(&format!("echo on; sh -c 'sleep 1000; :' {token}"), &[]));
        let cancellation = Arc::new(Cancellation::default());
        let canceller = Arc::clone(&cancellation);
        let watcher = Watcher { on_output: Some(Box::new(move || canceller.cancel())), ..Watcher::default() };
        let error = scene.execute_watched(&work, &watcher, &cancellation).unwrap_err();
        assert!(matches!(error, ExecuteError::Cancelled), "{error}");
        assert_eq!(processes_with(&token).len(), 0);
        let early = scene.execute_watched(&work, &Watcher::default(), &cancellation).unwrap_err();
        assert!(matches!(early, ExecuteError::Cancelled), "{early}");
        assert_eq!(scene.counters.cancelled.load(Ordering::Relaxed), 2);
    }
}

#[test]
fn output_is_seen_while_the_action_runs_and_stages_come_in_order() {
    let scene = Scene::new();
    let root = scene.upload(&Root::default());
    let go_on = scene.path().join("go-on");
    // It ends only once somebody has seen what it wrote.
    let plain = Scene::plain();
    let plain_root = plain.upload(&Root::default());
    let work = plain.work(
        plain_root,
        sh(&format!("echo now; while ! test -e {}; do sleep 0.01; done; echo then", go_on.display()), &[]),
    );
    let touched = go_on.clone();
    let watcher = Watcher {
        on_output: Some(Box::new(move || fs_err::write(&touched, "").unwrap())),
        ..Default::default()
    };
    plain.execute_watched(&work, &watcher, &Cancellation::default()).unwrap();
    assert_eq!(*watcher.written.lock(), b"now\nthen\n");

    let watcher = Watcher::default();
    scene.execute_watched(&scene.work(root, sh("true", &[])), &watcher, &Cancellation::default()).unwrap();
    assert_eq!(*watcher.stages.lock(), [Stage::FetchingInputs, Stage::Running, Stage::UploadingOutputs]);
}

#[test]
fn the_metadata_are_complete() {
    let scene = Scene::new();
    let script = "python3 -c 'x = bytearray(50_000_000); sum(range(2_000_000))'; echo x > out";
    let executed = scene.run(&Root::default(), sh(script, &["out"]));
    let metadata = executed.result.execution_metadata.unwrap();
    assert_eq!(metadata.worker, "test/0");
    let times = [
        metadata.queued_timestamp,
        metadata.worker_start_timestamp,
        metadata.input_fetch_start_timestamp,
        metadata.input_fetch_completed_timestamp,
        metadata.execution_start_timestamp,
        metadata.execution_completed_timestamp,
        metadata.output_upload_start_timestamp,
        metadata.output_upload_completed_timestamp,
        metadata.worker_completed_timestamp,
    ];
    let times: Vec<_> =
        times.iter().map(|time| time.as_ref().map(|time| (time.seconds, time.nanos)).unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let duration = metadata.virtual_execution_duration.unwrap();
    assert!(duration.seconds > 0 || duration.nanos > 0);
    let usage = ResourceUsage::find(&metadata.auxiliary_metadata).unwrap();
    assert!(usage.peak_memory_bytes > 50_000_000, "{usage:?}");
    assert!(usage.processor_time() > Duration::from_millis(10), "{usage:?}");
    assert_eq!(scene.counters.succeeded.load(Ordering::Relaxed), 1);
    assert_eq!(scene.counters.running.load(Ordering::Relaxed), 0);
}

#[test]
fn nothing_is_left_of_an_action_even_of_directories_that_it_has_closed() {
    for scene in scenes() {
        for root in [Root::default(), Root::default().large()] {
            let script =
                "mkdir -p closed/inner; echo x > closed/inner/f; chmod 0 closed/inner closed; exit 1";
            assert_eq!(scene.run(&root, sh(script, &[])).result.exit_code, 1);
        }
        wait_until("what is left to be removed", || scene.scratch() == 0);
    }
}
