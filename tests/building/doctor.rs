//! `crosswheel doctor` on this host, and on one that has less.

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::visible_directory;
use crate::support::waiting::InTime;

fn doctor(arguments: &[&str], change: impl Fn(&mut Command)) -> (Output, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_crosswheel"));
    command.arg("doctor").args(arguments).env("CROSSWHEEL_CACHE_DIR", directory.path().join("cache"));
    change(&mut command);
    (command.output_in_time(), directory)
}

fn findings(output: &Output) -> Vec<Value> {
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    document["findings"].as_array().unwrap().clone()
}

fn about<'a>(findings: &'a [Value], subject: &str) -> &'a Value {
    let found = findings.iter().find(|finding| finding["subject"].as_str().unwrap().starts_with(subject));
    found.unwrap_or_else(|| panic!("nothing about {subject}: {findings:?}"))
}

#[test]
fn a_host_that_can_build_is_said_to_be_one_subject_by_subject() {
    let (output, _directory) = doctor(&["--json"], |_| ());
    assert!(output.status.success(), "{output:?}");
    let findings = findings(&output);
    let subjects = ["Python 3.", "C compiler", "C++ compiler", "Rust", "uv", "sandbox", "overlayfs", "disk"];
    for subject in subjects {
        assert_ne!(about(&findings, subject)["status"], "broken", "{subject}");
    }
    assert!(findings.iter().any(|finding| finding["subject"].as_str().unwrap().ends_with("emulation")));
    let (text, _directory) = doctor(&[], |_| ());
    assert!(String::from_utf8_lossy(&text.stdout).contains("This host can build wheels."));
}

#[test]
fn what_is_missing_is_named_with_the_command_that_mends_it() {
    let (output, _directory) = doctor(&["--json"], |command| {
        command.env_clear().env("PATH", "/nowhere").env("HOME", "/nowhere");
        command.env("CROSSWHEEL_CACHE_DIR", std::env::temp_dir().join("crosswheel-doctor-test"));
    });
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let findings = findings(&output);
    for (subject, status, mend) in [
        ("Python", "broken", "apt-get install python3"),
        ("C compiler", "limited", "apt-get install gcc"),
        ("C++ compiler", "limited", "apt-get install g++"),
        ("Rust", "limited", "rustup"),
    ] {
        let finding = about(&findings, subject);
        assert_eq!(finding["status"], status, "{finding}");
        assert!(finding["mend"].as_str().unwrap().contains(mend), "{finding}");
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_broken() {
    let (output, _directory) = doctor(&["--json", "--cache-dir", "/proc/crosswheel"], |_| ());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(about(&findings(&output), "disk")["status"], "broken");
}

/// In namespaces of its own, so that this machine's kernel learns nothing, and without what it may know already.
fn as_root_of_a_namespace(script: &str) -> Output {
    let hide = "mount -t tmpfs none /proc/sys/fs/binfmt_misc";
    let script = format!("set -e; mount --make-rprivate /; {hide}; {script}");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    command.env("CROSSWHEEL", env!("CARGO_BIN_EXE_crosswheel")).output_in_time()
}

#[test]
fn an_emulator_is_registered_once_and_says_how_to_take_it_back() {
    crate::support::foreign_program::emulator();
    let root = crate::support::foreign_program::foreign_root();
    let program = root.path().join("bin/sh");
    let output = as_root_of_a_namespace(&format!(
        "$CROSSWHEEL doctor --register-binfmt --json; {0} || echo $?; $CROSSWHEEL doctor --register-binfmt --json
        $CROSSWHEEL doctor --json || true
        for entry in /proc/sys/fs/binfmt_misc/qemu-*; do echo -1 > $entry; done; {0} || echo $?",
        program.display()
    ));
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let registered = |line: &str| serde_json::from_str::<Value>(line).unwrap()["registered"].clone();
    let (first, second) = (registered(lines[0]), registered(lines[3]));
    assert_eq!((&first["already"], &second["already"]), (&false.into(), &true.into()));
    assert_eq!(first["name"], second["name"]);
    assert!(
        first["undo"].as_str().unwrap().starts_with("echo -1 > /proc/sys/fs/binfmt_misc/qemu-"),
        "{first}"
    );
    let name = program.to_str().unwrap();
    assert_eq!(lines[1..3], [name, &crate::support::foreign_program::EXIT_CODE.to_string()]);
    let findings: Value = serde_json::from_str(lines[4]).unwrap();
    let findings = findings["findings"].as_array().unwrap();
    let emulation =
        findings.iter().find(|finding| finding["subject"].as_str().unwrap().ends_with("emulation"));
    assert!(emulation.unwrap()["found"].as_str().unwrap().contains("is registered with the kernel"));
    // The shell's code for what it cannot execute.
    assert!(["126", "127", "2"].contains(lines.last().unwrap()), "{text}");
}

#[test]
fn who_is_not_root_is_told_so() {
    // The inner namespace may do nothing in the mount namespace of the outer one.
    let output = as_root_of_a_namespace("exec unshare --user $CROSSWHEEL doctor --register-binfmt");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("run it as root"), "{errors}");
    let own = crosswheel::platform::Arch::host().property();
    let (native, _directory) = doctor(&[&format!("--register-binfmt={own}")], |_| ());
    assert!(String::from_utf8_lossy(&native.stderr).contains("need no emulator here"), "{native:?}");
    let (unknown, _directory) = doctor(&["--register-binfmt=vax"], |_| ());
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
}

/// What an attacker from inside tries, in vain.
#[test]
fn what_a_sandbox_promises_is_proven_by_attacks() {
    let cache = visible_directory();
    let mut command = Command::new(env!("CARGO_BIN_EXE_crosswheel"));
    command.args(["doctor", "--sandbox", "--json", "--cache-dir"]).arg(cache.path());
    let output = command.output_in_time();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let findings = document["findings"].as_array().unwrap();
    assert!(findings.len() >= 14, "{findings:?}");
    assert!(findings.iter().all(|finding| finding["status"] == "works"), "{findings:?}");
    assert!(output.status.success());
    // Nothing of it is left.
    assert_eq!(fs_err::read_dir(cache.path()).unwrap().count(), 0);
}

/// As in a container whose first process it is: the first process of a sandbox has the same number, and is another.
#[test]
fn as_the_first_process_of_a_container_it_does_not_take_that_of_a_sandbox_for_itself() {
    let cache = visible_directory();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]);
    command.arg(env!("CARGO_BIN_EXE_crosswheel"));
    command.args(["doctor", "--sandbox", "--json", "--cache-dir"]).arg(cache.path());
    let output = command.output_in_time();
    let findings = findings(&output);
    assert_eq!(about(&findings, "processes cannot be signalled")["status"], "works", "{findings:?}");
}

/// The same attacker, where nothing stands in its way: it gets what it is after.
#[test]
fn where_there_are_no_namespaces_the_attacks_succeed_and_nothing_is_promised() {
    let cache = visible_directory();
    let script = format!(
        "echo 0 > /proc/sys/user/max_user_namespaces
        $CROSSWHEEL doctor --sandbox --json --cache-dir {} || echo $?",
        cache.path().display()
    );
    let output = as_root_of_a_namespace(&script);
    let text = String::from_utf8(output.stdout).unwrap();
    let (document, code) = text.trim().split_once('\n').unwrap_or_else(|| panic!("{text}"));
    assert_eq!(code, "1");
    let document: Value = serde_json::from_str(document).unwrap();
    let findings = document["findings"].as_array().unwrap();
    for promise in [
        "files of the host",
        "the store",
        "unix sockets",
        "processes cannot be signalled",
        "locks",
        "privileges",
    ] {
        let finding = findings.iter().find(|finding| finding["subject"].as_str().unwrap().contains(promise));
        let finding = finding.unwrap_or_else(|| panic!("{promise}: {findings:?}"));
        assert_eq!(finding["status"], "limited", "{finding}");
        assert!(
            finding["found"].as_str().unwrap().starts_with("not promised without namespaces"),
            "{finding}"
        );
    }
    // What a filter and a measure hold.
    for promise in ["the network", "no socket", "nothing outlives", "memory is", "processes are"] {
        let finding =
            findings.iter().find(|finding| finding["subject"].as_str().unwrap().starts_with(promise));
        assert_eq!(finding.unwrap()["status"], "works", "{finding:?}");
    }
}
