//! `crosswheel doctor` on this host, and on one that has less.

use std::process::{Command, Output};

use serde_json::Value;

fn doctor(arguments: &[&str], change: impl Fn(&mut Command)) -> (Output, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_crosswheel"));
    command.arg("doctor").args(arguments).env("CROSSWHEEL_CACHE_DIR", directory.path().join("cache"));
    change(&mut command);
    (command.output().unwrap(), directory)
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
