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
