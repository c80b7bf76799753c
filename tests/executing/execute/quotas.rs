//! Actions that take more of the disk than they may have, and outputs that are made to keep whoever collects them busy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crosswheel::cancellation::Cancellation;
use crosswheel::contract::SandboxMode;
use crosswheel::execute::{ActionLimits, ExecuteError, Executed, Stage, Work};
use crosswheel::reapi::Platform;
use crosswheel::reapi::platform::Property;

use super::scene::{OnStage, Root, Scene, Watcher, sh};
use crate::support::processes::{processes_with, token};
use crate::support::waiting::wait_until;

const MIB: u64 = 1 << 20;

fn scenes(limits: ActionLimits) -> [Scene; 2] {
    [Scene::limited(SandboxMode::Required, limits), Scene::limited(SandboxMode::Off, limits)]
}

fn asking(mut work: Work, properties: &[(&str, &str)]) -> Work {
    let property =
        |&(name, value): &(&str, &str)| Property { name: name.to_owned(), value: value.to_owned() };
    work.action.platform = Some(Platform { properties: properties.iter().map(property).collect() });
    work
}

/// It is no result for others, says which limit it was, how much that is, and whose.
fn check_exceeded(executed: &Executed, limit: &str, says: &[&str]) {
    let exceeded = executed.exceeded.as_ref().unwrap_or_else(|| panic!("{executed:?}"));
    assert_eq!(exceeded.limit, limit);
    assert!(!executed.is_cacheable());
    let first = executed.message.lines().next().unwrap();
    assert_eq!(first, exceeded.to_string());
    for word in says {
        assert!(first.contains(word), "{first}");
    }
}

/// Hashing it would take hours.
#[test]
fn a_hole_of_eight_tebibytes_is_no_output() {
    for scene in scenes(ActionLimits::default()) {
        for outputs in [&["hole"][..], &["d"]] {
            let script = "mkdir d; truncate -s 8T hole; ln hole d/hole";
            let executed = scene.run(&Root::default().large(), sh(script, outputs));
            check_exceeded(&executed, "output", &["8.0 TiB", "32GiB", "`output` of the pool"]);
            assert!(executed.result.output_files.is_empty());
        }
        // Of a command that has failed, the failure matters more.
        let executed = scene.run(&Root::default(), sh("truncate -s 8T hole; exit 3", &["hole"]));
        assert_eq!((executed.result.exit_code, executed.exceeded), (3, None));
        assert!(executed.message.contains("no outputs were kept"), "{}", executed.message);
    }
}

#[test]
fn outputs_up_to_the_limit_are_kept() {
    let scene = Scene::limited(SandboxMode::Required, ActionLimits { output: MIB, ..Default::default() });
    let script = "mkdir -p d; truncate -s 512K d/a d/b; ln -s a d/c";
    let executed = scene.run(&Root::default(), sh(script, &["d", "d/a"]));
    assert_eq!(executed.exceeded, None);
    assert_eq!(scene.output(&executed, "d/a").len(), 512 << 10);
    let executed = scene.run(&Root::default(), sh("truncate -s 512K a b; echo > c", &["a", "b", "c"]));
    check_exceeded(&executed, "output", &["1MiB"]);
}

/// Cancelled while a file is hashed that takes longer than anybody waits.
#[test]
fn who_gives_up_does_not_wait_for_a_hole_to_be_hashed() {
    let limits = ActionLimits { output: u64::MAX, ..ActionLimits::default() };
    for scene in scenes(limits) {
        let root = scene.upload(&Root::default());
        let cancellation = Arc::new(Cancellation::default());
        let canceller = Arc::clone(&cancellation);
        let observer = OnStage(
            Stage::UploadingOutputs,
            Box::new(move || {
                let canceller = Arc::clone(&canceller);
                std::thread::spawn(move || {
                    crate::support::waiting::pause(Duration::from_millis(300));
                    canceller.cancel();
                });
            }),
        );
        let work = scene.work(root, sh("truncate -s 8T hole", &["hole"]));
        let error = scene.execute_watched(&work, &observer, &cancellation).unwrap_err();
        assert!(matches!(error, ExecuteError::Cancelled), "{error}");
    }
}

#[test]
fn outputs_that_take_too_long_to_collect_are_given_up() {
    let limits =
        ActionLimits { output: u64::MAX, collect_timeout: Duration::from_secs(1), ..ActionLimits::default() };
    for scene in scenes(limits) {
        let executed = scene.run(&Root::default(), sh("truncate -s 8T hole", &["hole"]));
        check_exceeded(&executed, "collect-timeout", &["1 s", "`collect-timeout` of the pool"]);
    }
}

#[test]
fn a_flood_of_tiny_outputs_is_refused() {
    assert_eq!(ActionLimits::default().output_entries, 500_000);
    let limits = ActionLimits { output_entries: 2000, ..ActionLimits::default() };
    let scene = Scene::limited(SandboxMode::Required, limits);
    let script = "mkdir -p d; cd d; python3 -c '
import os
for i in range(2000): os.mknod(str(i))'";
    let executed = scene.run(&Root::default(), sh(script, &["d"]));
    check_exceeded(&executed, "output", &["2000"]);
}

/// A million links to the longest targets there are would be gigabytes of memory.
#[test]
fn symlinks_with_enormous_targets_are_bounded_together() {
    let limits = ActionLimits { output_entries: 2000, ..ActionLimits::default() };
    let scene = Scene::limited(SandboxMode::Required, limits);
    let script = "mkdir -p d; cd d; python3 -c '
import os
for i in range(1000): os.symlink(\"x\" * 4000, str(i))'";
    let executed = scene.run(&Root::default(), sh(script, &["d"]));
    check_exceeded(&executed, "output", &["paths and links", "500 KiB"]);
}

#[test]
fn what_would_block_whoever_reads_it_is_refused_at_once() {
    for scene in scenes(ActionLimits::default()) {
        for (script, is) in [
            ("mkfifo out", "a named pipe"),
            ("python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"out\")'", "a socket"),
            ("mkdir out; mkfifo out/fifo", "a named pipe"),
        ] {
            let ExecuteError::Refused(problem) = scene.refusal(&Root::default(), sh(script, &["out"])) else {
                panic!("{script}")
            };
            assert!(problem.contains(is), "{problem}");
        }
    }
}

/// Without namespaces, something may go on writing to an output after the command has ended.
#[test]
fn directories_deeper_than_any_path_are_refused() {
    let scene = Scene::new();
    let script = "python3 -c '
import os
os.mkdir(\"d\"); os.chdir(\"d\")
for i in range(3000): os.mkdir(\"d\"); os.chdir(\"d\")'";
    let error = scene.refusal(&Root::default(), sh(script, &["d"]));
    assert!(matches!(error, ExecuteError::Refused(_)), "{error}");
}

#[test]
fn a_log_without_end_is_cut_and_its_command_killed() {
    let limits = ActionLimits { log: MIB, ..ActionLimits::default() };
    for scene in scenes(limits) {
        for stream in ["", ">&2"] {
            let token = token();
            let script = format!("trap '' PIPE; sh -c 'while :; do yes; done' {token} {stream}");
            let executed = scene.run(&Root::default(), sh(&script, &[]));
            check_exceeded(&executed, "log", &["standard output", "1MiB", "`log` of the pool"]);
            let kept = [&executed.result.stdout_digest, &executed.result.stderr_digest];
            let kept: usize = kept.iter().map(|digest| scene.log(digest.as_ref()).len()).sum();
            assert_eq!(kept as u64, MIB);
            assert_eq!(processes_with(&token).len(), 0);
        }
    }
}

#[test]
fn scratch_without_end_kills_who_writes_it() {
    let limits = ActionLimits { scratch: 8 * MIB, ..ActionLimits::default() };
    for scene in scenes(limits) {
        for root in [Root::default(), Root::default().large()] {
            let token = token();
            let script = format!(
                "sh -c 'mkdir -p a/b; while :; do head -c 1000000 /dev/zero >> a/b/c; sleep 0.01; done' {token}"
            );
            let executed = scene.run(&root, sh(&script, &["a"]));
            check_exceeded(&executed, "scratch", &["8MiB", "`scratch` of the pool"]);
            assert!(executed.result.output_directories.is_empty());
            assert_eq!(processes_with(&token).len(), 0);
            wait_until("what is left to be removed", || scene.scratch() == 0);
        }
    }
}

/// In many files; in a place that nobody may look into.
#[test]
fn scratch_is_found_wherever_it_is_hidden() {
    let limits = ActionLimits { scratch: 8 * MIB, ..ActionLimits::default() };
    let scene = Scene::limited(SandboxMode::Required, limits);
    for script in [
        "i=0; while :; do i=$((i + 1)); head -c 100000 /dev/zero > f$i; sleep 0.005; done",
        "mkdir -p h/i; while :; do head -c 1000000 /dev/zero >> h/i/f; chmod 0 h; sleep 0.01; chmod 700 h; done",
        "python3 -c '
import os, time
for i in range(2000): os.mkdir(\"deep directory\"); os.chdir(\"deep directory\")
while True: open(\"f\", \"ab\").write(bytes(1000000)); time.sleep(0.01)'",
    ] {
        let executed = scene.run(&Root::default().large(), sh(script, &[]));
        check_exceeded(&executed, "scratch", &["8MiB"]);
    }
}

#[test]
fn an_action_may_ask_for_less_than_its_pool_gives_and_gets_no_more() {
    let limits = ActionLimits { output: MIB, ..ActionLimits::default() };
    let scene = Scene::limited(SandboxMode::Required, limits);
    let root = scene.upload(&Root::default());
    let work = |script: &str, properties: &[(&str, &str)]| {
        asking(scene.work(root, sh(script, &["out"])), properties)
    };
    let executed = scene.execute(&work("yes", &[("log", "64KiB")])).unwrap();
    check_exceeded(&executed, "log", &["64KiB", "`log` of the action's platform"]);
    let executed = scene.execute(&work("truncate -s 2K out", &[("Output", "1KiB")])).unwrap();
    check_exceeded(&executed, "output", &["1KiB", "`output` of the action's platform"]);
    let executed = scene.execute(&work("truncate -s 2M out", &[("output", "1TiB")])).unwrap();
    check_exceeded(&executed, "output", &["1MiB", "`output` of the pool"]);
    let executed = scene.execute(&work("truncate -s 2K out", &[("output", "2KiB")])).unwrap();
    assert_eq!(executed.exceeded, None);
    let error = scene.execute(&work("true", &[("scratch", "lots")])).unwrap_err();
    assert!(matches!(&error, ExecuteError::Invalid { field, .. } if field == "action.platform"), "{error}");
}

/// Whoever watches takes next to nothing from those that are soon done.
#[test]
fn a_short_action_is_not_measured() {
    let scene = Scene::limited(SandboxMode::Required, ActionLimits { scratch: 0, ..Default::default() });
    let started = Instant::now();
    let executed = scene.run(&Root::default(), sh("echo x > out", &["out"]));
    if started.elapsed() < Duration::from_millis(200) {
        assert_eq!(executed.exceeded, None);
    }
    let watcher = Watcher::default();
    let root = scene.upload(&Root::default());
    let work = scene.work(root, sh("echo x > out; sleep 1000", &["out"]));
    let executed = scene.execute_watched(&work, &watcher, &Cancellation::default()).unwrap();
    check_exceeded(&executed, "scratch", &[]);
}

/// As long as it is somebody's, the server's own among them, it is not free for who asks next.
#[test]
fn a_full_tmp_is_memory_and_ends_its_action_by_that_name() {
    let limits = ActionLimits { memory: Some(96 * MIB), ..ActionLimits::default() };
    let scene = Scene::limited(SandboxMode::Required, limits);
    let script =
        "for name in a b c; do head -c 64M /dev/zero > /tmp/$name; cp /tmp/$name /dev/shm; done; sleep 1000";
    let executed = scene.run(&Root::default(), sh(script, &[]));
    check_exceeded(&executed, "memory", &["96MiB", "`memory` of the pool"]);
    assert_eq!(scene.stdout(&scene.run(&Root::default(), sh("echo next", &[]))), "next\n");
}

#[test]
fn memory_and_processes_may_be_less_than_the_pools_if_an_action_says_so() {
    let hog =
        "import time\nheld = []\nwhile True:\n    held.append(bytearray(8 << 20))\n    time.sleep(0.005)";
    let bomb = "import os, time\nwhile True:\n    try:\n        if os.fork() == 0: time.sleep(1000)\n    except OSError: time.sleep(0.01)";
    for scene in scenes(ActionLimits::default()) {
        for (program, name, value) in [(hog, "memory", "128MiB"), (bomb, "pids", "40")] {
            let mut command = sh("", &[]);
            command.arguments = ["python3", "-c", program].map(str::to_owned).to_vec();
            let work = asking(scene.work(scene.upload(&Root::default()), command), &[(name, value)]);
            let executed = scene.execute(&work).unwrap();
            check_exceeded(&executed, name, &[value, "of the action's platform"]);
        }
    }
}
