//! What a host takes away from a build's isolation: said, and never mistaken for a build that had it.

use std::process::{Command, Stdio};

use super::run::{Place, Run};
use crate::support::packages::Project;
use crate::support::waiting::InTime;

/// Its wheel tells where it was built.
const WHERE: Project = Project {
    name: "wherebuilt",
    version: "1.0",
    requires: &[],
    dynamic: &[],
    requires_dist: &[],
    imports: &[],
    sleeps: false,
    waits_for: "",
    native_source: false,
    runs: "import builtins, os; builtins.WHERE = os.getcwd()",
    looks_at_machine: false,
};

/// Fails wherever it is built.
const FAILING: Project = Project { name: "failing", runs: "raise RuntimeError('no')", ..WHERE };

/// Builds where so many user namespaces can be made, in a namespace that is not counted.
fn build_with(place: &Place, namespaces: u32, arguments: &[&str]) -> Run {
    run_with(place, namespaces, place.command(arguments))
}

fn run_with(place: &Place, namespaces: u32, build: Command) -> Run {
    let limit = format!("echo {namespaces} > /proc/sys/user/max_user_namespaces; exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &limit, "sh"]);
    command.arg(build.get_program()).args(build.get_args());
    command.env_clear();
    for (name, value) in build.get_envs() {
        command.env(name, value.unwrap());
    }
    let output = command.current_dir(place.path("")).stdin(Stdio::null()).output_in_time();
    Run {
        code: output.status.code().expect("it ends by itself"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_wheel_built_without_namespaces_is_said_to_be_and_is_not_what_other_hosts_get() {
    let place = Place::new();
    let source = place.write(&WHERE.file_name(), WHERE.sdist());
    let common = ["--no-index", "--json", &source];
    let isolation = |run: &Run| run.json()["results"][0]["report"]["isolation"].clone();
    // On a host that allows none, twice: it is remembered for such hosts.
    for status in ["built", "cached"] {
        let run = build_with(&place, 0, &common).ended(0);
        assert_eq!(run.json()["results"][0]["status"], status);
        assert_eq!(isolation(&run)["sandbox"], "none");
        assert!(!isolation(&run)["lost"].as_array().unwrap().is_empty());
        assert!(run.stderr.contains("built without namespaces: "), "{}", run.stderr);
        assert!(run.stderr.contains(&WHERE.file_name()), "{}", run.stderr);
    }
    let run = place.build(&common).ended(0);
    assert_eq!(run.json()["results"][0]["status"], "built", "not what was built with less");
    assert_eq!(isolation(&run)["sandbox"], "namespaces");
    assert_eq!(isolation(&run)["lost"], serde_json::json!([]));
    assert!(!run.stderr.contains("built without"), "{}", run.stderr);
    assert_eq!(place.build(&common).ended(0).json()["results"][0]["status"], "cached");
}

#[test]
fn a_failure_says_how_its_build_was_isolated() {
    let place = Place::new();
    let source = place.write(&FAILING.file_name(), FAILING.sdist());
    let run = build_with(&place, 0, &["--no-index", "--json", &source]).ended(20);
    let isolation = &run.json()["results"][0]["failure"]["isolation"];
    assert_eq!(isolation["sandbox"], "none");
    assert!(run.stderr.contains("built without namespaces: "), "{}", run.stderr);
    let run = place.build(&["--no-index", "--json", &source]).ended(20);
    assert_eq!(run.json()["results"][0]["failure"]["isolation"]["sandbox"], "namespaces");
}

/// There are some, but not as many as it takes: that may pass, and is no reason to build with less.
#[test]
fn namespaces_that_have_run_out_are_an_error_and_not_a_build_with_less() {
    let place = Place::new();
    let source = place.write(&WHERE.file_name(), WHERE.sdist());
    let run = build_with(&place, 1, &["--no-index", "--json", &source]);
    assert!([1, 25].contains(&run.code), "{} {} {}", run.code, run.stdout, run.stderr);
    assert!(run.stdout.contains("No space left on device"), "{}", run.stdout);
    assert!(place.wheels().is_empty());
    place.build(&["--no-index", &source]).ended(0);
}

#[test]
fn a_wheelhouse_says_what_its_builds_and_its_check_had_to_do_without() {
    let place = Place::new();
    let source = place.write(&WHERE.file_name(), WHERE.sdist());
    for format in [&[][..], &["--json"]] {
        let arguments = [&["--no-index", "--check", &source], format].concat();
        let run = run_with(&place, 0, place.command_of("wheelhouse", &arguments)).ended(0);
        for text in ["built without namespaces: ", "checked without namespaces: ", "pip cannot be had"] {
            assert!(run.stderr.contains(text), "{text} {}", run.stderr);
        }
    }
}
