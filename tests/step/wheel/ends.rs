//! How builds end, and what is left of them.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Stdio;

use rustix::process::Signal;

use super::scene::*;
use crate::support::processes::processes_with;
use crate::support::waiting::{DEADLINE, InTime, Started, wait_until};

#[test]
fn a_build_that_takes_too_long_dies_with_all_it_started() {
    let seconds = format!("98{}", std::process::id());
    let bench = Bench::with_body(&format!(
        "import subprocess, time\nprint('about to wait')\nsubprocess.Popen(['sleep', '{seconds}'], start_new_session=True)\ntime.sleep({seconds})"
    ));
    for sandbox in ["auto", "off"] {
        let failure = bench.failure(17, &["--timeout", "1", "--sandbox", sandbox]);
        assert!(failure["evidence"].to_string().contains("about to wait"), "{failure}");
        assert!(!is_running(&seconds), "--sandbox {sandbox}");
    }
}

/// Whether any process on this machine has `argument` on its command line.
fn is_running(argument: &str) -> bool {
    !processes_with(argument).is_empty()
}

/// Starts a build that waits for ever, and returns once its grandchild runs.
fn start_endless_build(bench: &Bench, seconds: &str) -> Started {
    let child = bench.command().process_group(0).stdout(Stdio::piped()).stderr(Stdio::null()).start();
    wait_until("the grandchild of the backend", || is_running(seconds));
    child
}

fn endless(seconds: &str) -> Bench {
    Bench::with_body(&format!(
        "import subprocess\nsubprocess.run(['setsid', 'sh', '-c', 'sleep {seconds} & wait'])"
    ))
}

#[test]
fn ctrl_c_leaves_nothing_running_and_nothing_half_written() {
    let seconds = format!("97{}", std::process::id());
    let bench = endless(&seconds);
    let mut child = start_endless_build(&bench, &seconds);
    child.signal(Signal::INT);
    assert_eq!(child.exit().code(), Some(130));
    assert!(!is_running(&seconds));
    assert!(!bench.path("out").exists());
    bench.assert_no_workspace();
}

#[test]
fn killing_crosswheel_kills_the_build_and_the_next_build_sweeps_up() {
    let seconds = format!("96{}", std::process::id());
    let bench = endless(&seconds);
    let mut child = start_endless_build(&bench, &seconds);
    assert_eq!(child.kill().signal(), Some(9));
    wait_until("a killed build to end", || !is_running(&seconds));
    let left = fs_err::read_dir(bench.path("cache/work")).unwrap().count();
    assert_eq!(left, 2, "a killed build leaves its directory and its lock");
    let next = Bench::with_body("pass");
    let output = next.command().arg("--cache-dir").arg(bench.path("cache")).output_in_time();
    assert!(output.status.success());
    bench.assert_no_workspace();
}

#[test]
fn a_wheel_appears_whole_and_replaces_an_older_one() {
    let bench = Bench::with_body("pass");
    fs_err::create_dir(bench.path("out")).unwrap();
    fs_err::write(bench.path("out/demo-1.0-py3-none-any.whl"), "old").unwrap();
    let report = bench.report(&[]);
    let files: Vec<_> =
        fs_err::read_dir(bench.path("out")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(files, ["demo-1.0-py3-none-any.whl"]);
    assert_eq!(fs_err::metadata(bench.path("out").join(&files[0])).unwrap().len(), report["size_bytes"]);
}

#[test]
fn the_longest_timeout_is_one() {
    Bench::with_body("").report(&["--timeout", &crosswheel::deadline::LONGEST_SECONDS.to_string()]);
}

#[test]
fn nobody_who_reads_is_no_reason_to_fail() {
    let bench = Bench::with_body("print('from the backend')");
    for closed in ["stdout", "stderr", "both"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = bench.command();
        if closed != "stderr" {
            command.stdout(writer.try_clone().unwrap());
        }
        if closed != "stdout" {
            command.stderr(writer);
        }
        assert_eq!(command.status_in_time().code(), Some(0), "{closed}");
        assert_eq!(command.arg("--build-wheels=absent").status_in_time().code(), Some(2), "{closed}");
    }
}

#[test]
fn a_signal_ends_what_does_not_notice_it() {
    let bench = Bench::with_body("");
    let script = bench.path("python");
    fs_err::write(&script, "#!/bin/sh\ntrap '' TERM\necho > \"$0.started\"\nwhile :; do sleep 1; done\n")
        .unwrap();
    fs_err::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut child = bench.command().arg("--python").arg(&script).process_group(0).start();
    wait_until("the interpreter to be asked", || bench.path("python.started").exists());
    let pid = child.pid();
    child.signal(Signal::TERM);
    assert_eq!(child.exit().code(), Some(143));
    rustix::process::kill_process_group(pid, Signal::KILL).unwrap();
}

/// A signal may arrive between the start of the backend and the moment somebody could kill it.
#[test]
fn a_build_cancelled_before_its_backend_is_known_is_killed_all_the_same() {
    use crosswheel::contract::SandboxMode;
    use crosswheel::sandbox::{ResourceLimits, RootFileSystem, Sandbox, Spec};
    let sandbox = Sandbox::detect(SandboxMode::Auto, env!("CARGO_BIN_EXE_crosswheel").into()).unwrap();
    let null = fs_err::File::options().write(true).open("/dev/null").unwrap().into_parts().0;
    let tree = sandbox
        .spawn(Spec {
            argv: vec!["/bin/sleep".into(), "1000000".into()],
            env: Default::default(),
            working_directory: "/".into(),
            binds: Vec::new(),
            root: RootFileSystem::Host,
            overlays: Vec::new(),
            visible_host_paths: Vec::new(),
            stdin: None,
            stdout: null.into(),
            stderr: None,
            network: false,
            limits: ResourceLimits::default(),
        })
        .unwrap();
    let cancellation = crosswheel::cancellation::Cancellation::default();
    cancellation.cancel();
    cancellation.watch(tree.killer());
    let exit = tree.wait(Some(std::time::Instant::now() + DEADLINE)).unwrap();
    assert!(exit.killed && !exit.timed_out, "it was killed by nobody for {DEADLINE:?}");
    assert!(cancellation.check().is_err());
}

#[test]
fn what_was_kept_for_a_look_stays_when_the_next_build_sweeps() {
    let bench = Bench::with_body("");
    bench.report(&["--keep-work"]);
    let left = || -> Vec<_> {
        fs_err::read_dir(bench.path("cache/work")).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let kept = left();
    let [directory] = &kept[..] else { panic!("{kept:?}") };
    assert!(fs_err::read_dir(directory).unwrap().count() > 0);
    bench.report(&[]);
    assert_eq!(left(), kept);
}
