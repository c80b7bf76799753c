//! Wheelhouses that are made again: what of an earlier run is still right, and what is said of what is not.

use serde_json::Value;

use super::locked::{Locked, status, write_project};
use super::making::index_with_tool;
use crate::index::Server;
use crate::run::Place;
use crate::support::packages::{Project, wheel, wheel_of};

fn lib(name: &'static str) -> Project<'static> {
    Project { name, version: "1.0", requires: &["tool>=1"], ..Project::default() }
}

fn record(place: &Place) -> Value {
    serde_json::from_slice(&fs_err::read(place.path("dist/wheelhouse.json")).unwrap()).unwrap()
}

/// An index with two versions of `tool`, and `lib`, which has no wheel.
fn index() -> Server {
    let server = Server::start();
    let tools =
        ["1.4", "1.5"].map(|version| (format!("tool-{version}-py3-none-any.whl"), wheel("tool", version)));
    let listed: Vec<_> = tools.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    server.add_project("tool", &listed);
    let lib = lib("lib");
    server.add_project("lib", &[(&lib.file_name(), &lib.sdist())]);
    server
}

#[test]
fn what_settings_decide_of_build_requirements_decides_what_is_kept() {
    let (server, place) = (index(), Place::new());
    let arguments = ["lib", "--index-url", &server.index(), "--json"];
    let tool = |document: &Value| {
        document["distributions"][0]["record"]["report"]["build_requirements"][0]["version"].clone()
    };
    // Built already to know what it requires.
    let document = place.wheelhouse(&arguments).ended(0).json();
    assert_eq!((status(&document, "lib"), tool(&document)), ("cached".into(), "1.5".into()));
    let document = place.wheelhouse(&arguments).ended(0).json();
    assert_eq!(status(&document, "lib"), "kept");
    let bounds = place.write("bounds.txt", "tool<1.5\n");
    let bounded = [&arguments[..], &["-c", &bounds]].concat();
    let document = place.wheelhouse(&bounded).ended(0).json();
    assert_eq!((status(&document, "lib"), tool(&document)), ("cached".into(), "1.4".into()));
    let document = place.wheelhouse(&bounded).ended(0).json();
    assert_eq!(status(&document, "lib"), "kept");
}

#[test]
fn a_wheel_of_another_target_is_not_kept_where_none_is_shared() {
    let (server, place) = (index(), Place::new());
    let arguments = ["lib", "--index-url", &server.index(), "--json"];
    place.wheelhouse(&arguments).ended(0);
    let mut there = record(&place);
    let other = if std::env::consts::ARCH == "aarch64" { "linux_amd64" } else { "linux_arm64" };
    there["targets"][0]["wheels"][0]["shared_from"] = other.into();
    place.write("dist/wheelhouse.json", there.to_string());
    assert_eq!(status(&place.wheelhouse(&arguments).ended(0).json(), "lib"), "kept");
    let document = place.wheelhouse(&[&arguments[..], &["--no-share"]].concat()).ended(0).json();
    assert_eq!(status(&document, "lib"), "cached");
    assert_eq!(record(&place)["targets"][0]["wheels"][0]["shared_from"], Value::Null);
}

#[test]
fn a_wheel_of_the_users_is_what_it_is_now() {
    let (server, place) = (index(), Place::new());
    let name = "extra-5.0-py3-none-any.whl";
    place.write(name, wheel("extra", "5.0"));
    let arguments = [&format!("./{name}"), "--index-url", &server.index()];
    place.wheelhouse(&arguments).ended(0).says("1 fetched");
    place.wheelhouse(&arguments).ended(0).says("1 kept");
    // It has other contents, and requires something now.
    let maker = Place::new();
    let extra = Project { name: "extra", version: "5.0", requires_dist: &["tool"], ..Project::default() };
    let sdist = maker.write(&extra.file_name(), extra.sdist());
    maker.build(&["--no-index", &sdist]).ended(0);
    let other = fs_err::read(maker.path("dist").join(name)).unwrap();
    place.write(name, &other);
    place.wheelhouse(&arguments).ended(0).says("2 fetched");
    assert_eq!(fs_err::read(place.path("dist").join(name)).unwrap(), other);
}

#[test]
fn a_check_is_of_the_wheels_that_are_there_and_of_nothing_there_is_none() {
    let (server, place) = (index_with_tool(), Place::new());
    let project = write_project(&place, &server, &[Locked::wheel("plain", "3.0")], "");
    let arguments = ["--project", &project, "--index-url", &server.index()];
    let check = |place: &Place| record(place)["targets"][0]["check"].clone();
    place.wheelhouse(&[&arguments[..], &["--check"]].concat()).ended(0);
    assert_ne!(check(&place), Value::Null);
    place.wheelhouse(&arguments).ended(0).says("1 kept");
    assert_ne!(check(&place), Value::Null, "it is still true of them");
    let other = Locked {
        wheels: vec![("plain-3.0-py3-none-any.whl".into(), wheel_of("plain", "3.0", "changed = True\n"))],
        ..Locked::named("plain", "3.0")
    };
    write_project(&place, &server, &[other], "");
    place.wheelhouse(&arguments).ended(0).says("1 fetched");
    assert_eq!(check(&place), Value::Null);
    let run = place.wheelhouse(&["absent ; sys_platform == 'win32'", "--no-index", "--check"]).ended(0);
    assert!(run.stderr.contains("nothing has to be installed there"), "{}", run.stderr);
}

#[test]
fn of_the_requirements_file_of_an_earlier_run_it_is_said_whether_it_still_holds() {
    let (server, place) = (index_with_tool(), Place::new());
    let packages = [Locked::sdist(&lib("lib")), Locked::wheel("plain", "3.0")];
    let project = write_project(&place, &server, &packages, "");
    let arguments = ["--project", &project, "--index-url", &server.index()];
    place.wheelhouse(&arguments).ended(0);
    let broken = Project { version: "1.1", runs: "raise SystemExit('broken')", ..lib("lib") };
    write_project(&place, &server, &[Locked::sdist(&broken), Locked::wheel("plain", "3.0")], "");
    let run = place.wheelhouse(&arguments).ended(20);
    assert!(run.stderr.contains("the wheels that it names are still there"), "{}", run.stderr);
    assert!(!run.stderr.contains("not needed"), "{}", run.stderr);
    fs_err::remove_file(place.path("dist/lib-1.0-py3-none-any.whl")).unwrap();
    place.write("dist/other-1.0-py3-none-any.whl", "of nobody");
    let run = place.wheelhouse(&arguments).ended(20);
    assert!(run.stderr.contains("of what it names, lib==1.0 is not there any more"), "{}", run.stderr);
    assert!(run.stderr.contains("note: other-1.0-py3-none-any.whl in "), "{}", run.stderr);
}

#[test]
fn nothing_of_what_may_not_be_built_is_run() {
    let place = Place::new();
    let runs = "raise SystemExit('it ran')";
    let sdist = Project { runs, requires: &[], ..lib("lib") };
    place.write(&sdist.file_name(), sdist.sdist());
    crate::trees::project(&place, "app", "[]", runs);
    for (source, flags) in [
        ("./lib-1.0.tar.gz", &["--no-build"][..]),
        ("./lib-1.0.tar.gz", &["--only-binary", "lib"]),
        ("./app", &["--no-build"]),
        ("./app", &["--only-binary", ":all:", "--no-binary", "other"]),
        ("app @ ./app", &["--only-binary", "app"]),
    ] {
        let run = place.wheelhouse(&[&[source, "--no-index"], flags].concat());
        let said = run.stdout + &run.stderr;
        assert!(
            run.code == 22 && said.contains("--only-binary says that it is not"),
            "{source} {flags:?} {said}"
        );
    }
    // Which goes for code of what may be built all the same.
    let run = place.wheelhouse(&["./lib-1.0.tar.gz", "--no-index", "--no-build", "--no-binary", "lib"]);
    assert_eq!(run.code, 20, "{}{}", run.stdout, run.stderr);
}
