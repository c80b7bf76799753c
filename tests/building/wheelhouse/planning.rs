//! `--plan`: what would be in a wheelhouse, and what keeps it from being known.

use super::locked::{Locked, write_project};
use crate::index::Server;
use crate::run::{PYTHON, Place};
use crate::support::packages::{Project, wheel};
use crate::support::waiting::InTime;

fn other() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "linux_amd64",
        _ => "linux_arm64",
    }
}

/// A wheel that is for this machine's platform alone.
fn native_wheel(name: &str) -> (String, Vec<u8>) {
    (format!("{name}-1.0-py3-none-manylinux_2_17_{}.whl", std::env::consts::ARCH), wheel(name, "1.0"))
}

fn packages() -> Vec<Locked> {
    let fast = Project { name: "fast", version: "1.0", ..Project::default() };
    let slow = Project { name: "slow", version: "2.0", ..Project::default() };
    vec![
        Locked { wheels: vec![native_wheel("fast")], ..Locked::sdist(&fast) },
        Locked::wheel("plain", "3.0"),
        Locked::sdist(&slow),
    ]
}

#[test]
fn a_plan_says_what_is_fetched_and_what_is_built_and_does_neither() {
    let (server, place) = (Server::start(), Place::new());
    let project = write_project(&place, &server, &packages(), "");
    let run = place.wheelhouse(&["--project", &project, "--plan"]).ended(0);
    run.says("PACKAGE")
        .says("plain 3.0  wheel")
        .says("slow 2.0   sdist")
        .says("2 wheels to fetch, 1 to build");
    let lines = place.wheelhouse(&["--project", &project, "--plan", "--format", "lines"]).ended(0).stdout;
    let native = native_wheel("fast").0;
    let expected =
        format!("fast==1.0 {native}\nplain==3.0 plain-3.0-py3-none-any.whl\nslow==2.0 slow-2.0.tar.gz\n");
    assert_eq!(lines, expected);
    assert_eq!((server.requests().len(), place.uv_starts()), (0, 0));
    assert!(!place.path("cache/executor").exists(), "nothing is to be built");
    assert!(!place.path("dist").exists() && !place.path("project/crosswheel.lock").exists());
}

#[test]
fn a_target_that_nothing_here_builds_for_is_planned_as_if_it_were_like_this_machine() {
    let (server, place) = (Server::start(), Place::new());
    let project = write_project(&place, &server, &packages(), "");
    let arguments = ["--project", &project, "--plan", "--target", other()];
    let run = place.wheelhouse(&arguments).ended(0);
    let run = run.says("fast 1.0   sdist        no wheel is for this target; the nearest is fast-1.0");
    run.says("assumed, as there is nothing here that builds for it");
    let document = place.wheelhouse(&[&arguments[..], &["--json"]].concat()).ended(0).json();
    let target = &document["targets"][0];
    assert_eq!((&target["target"], &target["python"]["assumed"]), (&other().into(), &true.into()));
    let fast = &target["distributions"][0];
    assert_eq!((&fast["name"], &fast["kind"]), (&"fast".into(), &"sdist".into()));
    assert_eq!(fast["file_name"], "fast-1.0.tar.gz");
    assert!(fast["sha256"].as_str().unwrap().len() == 64);
    // It is only for looking ahead: what is made is made for the target's own Python.
    let run = place.wheelhouse(&["--project", &project, "--target", other()]).ended(25);
    run.says("nothing here that builds for").says("crosswheel rootfs create");
    // And what was named is what is meant.
    let rootfs = format!("{}=/no/such/root", other());
    place.wheelhouse(&[&arguments[..], &["--rootfs", &rootfs]].concat()).ended(2).says("no root file system");
}

#[test]
fn flags_decide_what_may_be_built_and_what_must_be() {
    let (server, place) = (Server::start(), Place::new());
    let project = write_project(&place, &server, &packages(), "");
    let plan = |more: &[&str]| place.wheelhouse(&[&["--project", &project, "--plan"], more].concat());
    plan(&["--no-binary", "fast"]).ended(0).says("fast 1.0   sdist        no-binary is set for it");
    plan(&["--no-build"]).ended(22).says("slow 2.0").says("no-build is set for it");
    plan(&["--only-binary", "slow"]).ended(22).says("slow 2.0");
    plan(&["--only-binary", "fast,plain"]).ended(0);
    plan(&["--no-binary", "a b"]).ended(2);
    plan(&["--no-binary", ":all:"]).ended(22).says("plain 3.0").says("nothing to build it from");
}

#[test]
fn what_cannot_be_asked_of_a_project_is_said_with_its_name() {
    let (server, place) = (Server::start(), Place::new());
    let project = write_project(&place, &server, &packages(), "");
    let plan =
        |more: &[&str]| place.wheelhouse(&[&["--project", &project, "--plan"], more].concat()).ended(2);
    let says = |run: crate::run::Run, text: &str| assert!(run.stderr.contains(text), "{}", run.stderr);
    says(plan(&["--group", "nothing"]), "group `nothing` is not defined");
    says(plan(&["--extra", "nune"]), "did you mean `none`?");
    says(plan(&["--package", "other"]), "package `other` is not defined");
    let both = plan(&["--target", "linux_amd64", "--target", "linux_arm64", "--format", "lines"]);
    says(both, "lines for one target");
    let run = place.wheelhouse(&["--project", &place.text("bin"), "--plan"]).ended(2);
    says(run, "there is no pyproject.toml");
    says(place.wheelhouse(&["--plan"]).ended(2), "give requirements, -r FILE, --project DIR");
    place.wheelhouse(&["--project", &project, "requirement", "--plan"]).ended(2);
    fs_err::write(place.path("project/uv.lock"), "version = 1\n[[package]]\nname = 3\n").unwrap();
    says(plan(&[]), "uv.lock:3: ");
}

#[test]
fn a_project_around_the_current_directory_is_the_one_that_is_meant() {
    use crate::support::waiting::InTime;
    let (server, place) = (Server::start(), Place::new());
    write_project(&place, &server, &packages(), "");
    fs_err::create_dir(place.path("project/src")).unwrap();
    let mut command = place.command_of("wheelhouse", &["--plan", "--format", "lines"]);
    let output = command.current_dir(place.path("project/src")).output_in_time();
    assert!(String::from_utf8_lossy(&output.stdout).contains("slow==2.0"), "{output:?}");
}

#[test]
fn a_plan_is_told_nothing_that_it_would_not_do() {
    let (server, place) = (Server::start(), Place::new());
    let project = write_project(&place, &server, &[Locked::wheel("plain", "1.0")], "");
    let plan = ["--project", &project, "--plan"];
    let with = |more: &[&str]| place.wheelhouse(&[&plan[..], more].concat());
    for (more, said) in [
        (["--format", "lines", "--json"].as_slice(), "two ways to print a plan"),
        (&["--update-lock"], "--update-lock"),
        (&["--format", "pylock"], "--plan makes none"),
    ] {
        let run = with(more).ended(2);
        assert!((run.stdout + &run.stderr).contains(said), "{more:?}");
    }
}

#[test]
fn a_plan_takes_no_directory_of_sources_for_its_own() {
    let place = Place::new();
    crate::trees::project(&place, "app", "[]", "assert os.path.exists('source/x')");
    place.write("app/source/x", "");
    // Without --out, as none is needed.
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_crosswheel"));
    command.args(["wheelhouse", "..", "--plan", "--no-index", "--python", &PYTHON, "--cache-dir"]);
    command.arg(place.path("cache")).env_clear().current_dir(place.path("app/source"));
    command.env("PATH", format!("{}:/usr/bin:/bin", place.path("bin").display()));
    let output = command.output_in_time();
    assert!(output.status.success(), "{output:?}");
}
