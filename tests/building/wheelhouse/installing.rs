//! What is in a wheelhouse can be installed as it is, by others, without a network.

use std::process::Command;

use super::locked::{Locked, write_project};
use super::making::index_with_tool;
use crate::run::{PYTHON, Place};
use crate::support::packages::Project;
use crate::support::waiting::InTime;

fn requirements() -> String {
    let target = if std::env::consts::ARCH == "aarch64" { "linux_arm64" } else { "linux_amd64" };
    format!("dist/requirements-{target}.txt")
}

/// A wheelhouse with something that was built and requires something that was fetched.
fn made() -> Place {
    let (server, place) = (index_with_tool(), Place::new());
    let lib = Project {
        name: "lib",
        version: "1.0",
        requires: &["tool"],
        requires_dist: &["plain"],
        ..Project::default()
    };
    let packages = [Locked::sdist(&lib), Locked::wheel("plain", "3.0")];
    let project = write_project(&place, &server, &packages, "");
    place.wheelhouse(&["--project", &project, "--index-url", &server.index()]).ended(0);
    place
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output_in_time();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn pip_installs_a_wheelhouse_as_it_is() {
    let place = made();
    succeeds(Command::new(&*PYTHON).args(["-m", "venv"]).arg(place.path("venv")));
    let pip =
        ["-m", "pip", "install", "--isolated", "--no-index", "--disable-pip-version-check", "--find-links"];
    let python = place.path("venv/bin/python");
    let mut install = Command::new(&python);
    succeeds(install.args(pip).arg(place.path("dist")).arg("-r").arg(place.path(&requirements())));
    succeeds(Command::new(&python).args(["-c", "import lib, plain"]));
    // A wheel that is not the one that was made is not installed.
    let other = crate::support::packages::wheel("plain", "3.0");
    let changed = [&other[..], b"more"].concat();
    fs_err::write(place.path("dist/plain-3.0-py3-none-any.whl"), changed).unwrap();
    let mut install = Command::new(&python);
    install.args(pip).arg(place.path("dist")).args(["--force-reinstall", "-r"]);
    assert!(!install.arg(place.path(&requirements())).output_in_time().status.success());
}

#[test]
fn uv_installs_a_wheelhouse_as_it_is() {
    let place = made();
    let mut install = Command::new(place.path("bin/uv"));
    install
        .args([
            "pip",
            "install",
            "--no-config",
            "--offline",
            "--no-index",
            "--python",
            &PYTHON,
            "--find-links",
        ])
        .arg(place.path("dist"))
        .arg("-r")
        .arg(place.path(&requirements()))
        .arg("--target")
        .arg(place.path("installed"))
        .arg("--cache-dir")
        .arg(place.path("uv-cache"));
    succeeds(&mut install);
    assert!(place.path("installed/lib.py").is_file() && place.path("installed/plain.py").is_file());
}

#[test]
fn what_does_not_work_together_is_found_before_it_is_installed() {
    let (server, place) = (index_with_tool(), Place::new());
    let lib = Project {
        name: "lib",
        version: "1.0",
        requires: &["tool"],
        requires_dist: &["plain>=4"],
        ..Project::default()
    };
    let packages =
        [Locked { dependencies: vec!["plain".into()], ..Locked::sdist(&lib) }, Locked::wheel("plain", "3.0")];
    let project = write_project(&place, &server, &packages, "");
    let arguments = ["--project", &project, "--index-url", &server.index(), "--check"];
    let run = place.wheelhouse(&arguments).ended(26).says("2 wheels installed, 1 module imported, 1 problem");
    let run = run.says("lib 1.0: conflict: ");
    // What was made is there all the same.
    run.says("requirements-linux_");
    let record = fs_err::read_to_string(place.path("dist/wheelhouse.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["targets"][0]["check"], serde_json::Value::Null);
}

#[test]
fn a_check_that_found_nothing_wrong_is_not_done_again() {
    let (server, place) = (index_with_tool(), Place::new());
    let lib = Project {
        name: "lib",
        version: "1.0",
        requires: &["tool"],
        requires_dist: &["plain"],
        ..Project::default()
    };
    let packages = [Locked::sdist(&lib), Locked::wheel("plain", "3.0")];
    let project = write_project(&place, &server, &packages, "");
    let arguments = ["--project", &project, "--index-url", &server.index(), "--check"];
    place.wheelhouse(&arguments).ended(0).says("2 wheels installed, 1 module imported, 0 problems");
    fs_err::rename(place.path("cache/executor"), place.path("executor-away")).unwrap();
    place.wheelhouse(&arguments).ended(0).says("1 module imported, 0 problems").says("2 kept");
    assert!(!place.path("cache/executor").exists(), "nothing is left to be found out");
    let document = place.wheelhouse(&[&arguments[..], &["--json"]].concat()).ended(0).json();
    assert_eq!(document["targets"][0]["check"]["imported"], serde_json::json!(["lib"]));
}

#[test]
fn a_lock_file_of_the_standard_names_what_was_made_and_makes_the_same() {
    let place = made();
    let project = place.text("project");
    let document = place.wheelhouse(&["--project", &project, "--format", "pylock", "--json"]).ended(0).json();
    let path = document["targets"][0]["pylock"].as_str().unwrap().to_owned();
    assert!(path.ends_with(".toml") && path.contains("dist/pylock.linux_"), "{path}");
    let text = fs_err::read_to_string(&path).unwrap();
    assert!(text.contains("path = \"lib-1.0-py3-none-any.whl\""), "{text}");
    let mut install = Command::new(place.path("bin/uv"));
    install.args([
        "pip",
        "install",
        "--no-config",
        "--offline",
        "--no-index",
        "--python",
        &PYTHON,
        "-r",
        &path,
    ]);
    install.arg("--target").arg(place.path("installed")).arg("--cache-dir").arg(place.path("uv-cache"));
    succeeds(&mut install);
    assert!(place.path("installed/lib.py").is_file() && place.path("installed/plain.py").is_file());
    // As input.
    fs_err::rename(place.path("dist"), place.path("moved")).unwrap();
    let moved = path.replace("/dist/", "/moved/");
    place.wheelhouse(&[&moved]).ended(0).says("2 fetched");
    assert!(place.path("dist/lib-1.0-py3-none-any.whl").is_file());
    let run = place.wheelhouse(&[&moved, "other"]).ended(2);
    assert!(run.stderr.contains("nothing can be asked for beside it"), "{}", run.stderr);
    place.wheelhouse(&[&moved, "--extra", "none"]).ended(2).says("extra `none` is not defined");
    let run = place.wheelhouse(&[&moved, "--package", "lib"]).ended(2);
    assert!(run.stderr.contains("--package is for projects with a uv.lock"), "{}", run.stderr);
}

#[test]
fn requirements_are_resolved_and_made_as_a_lock_is() {
    let (server, place) = (index_with_tool(), Place::new());
    let lib = Project {
        name: "lib",
        version: "1.0",
        requires: &["tool"],
        requires_dist: &["plain"],
        ..Project::default()
    };
    server.add_project("lib", &[(&lib.file_name(), &lib.sdist())]);
    let plain = crate::support::packages::wheel("plain", "3.0");
    server.add_project("plain", &[("plain-3.0-py3-none-any.whl", &plain)]);
    let file = place.write("requirements.txt", "lib>=1\n");
    let arguments = ["-r", &file, "--index-url", &server.index()];
    let plan = place.wheelhouse(&[&arguments[..], &["--plan", "--format", "lines"]].concat()).ended(0);
    assert_eq!(plan.stdout, "lib==1.0 lib-1.0.tar.gz\nplain==3.0 plain-3.0-py3-none-any.whl\n");
    place.wheelhouse(&arguments).ended(0).says("1 fetched").says("requirements-linux_");
    let document = place.wheelhouse(&["lib", "--index-url", &server.index(), "--json"]).ended(0).json();
    let results = document["distributions"].as_array().unwrap();
    assert!(results.iter().all(|result| result["status"] == "kept"), "{document}");
    let run = place.wheelhouse(&["lib", "--extra", "x", "--index-url", &server.index()]).ended(2);
    assert!(run.stderr.contains("name[extra]"), "{}", run.stderr);
    assert!(!place.path("crosswheel.lock").exists(), "there is no project to lock it for");
}
