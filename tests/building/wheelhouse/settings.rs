//! What a project says about how its packages are built, and what they are built with: `[tool.uv]` and crosswheel.lock.

use serde_json::Value;

use super::locked::{Locked, status, write_project};
use super::making::index_with_tool;
use crate::index::Server;
use crate::run::Place;
use crate::support::packages::{Project, wheel};

fn lib(name: &'static str) -> Project<'static> {
    Project { name, version: "1.0", requires: &["tool>=1"], ..Project::default() }
}

/// What the wheel of `name` was built with: names and versions.
fn built_with(document: &Value, name: &str) -> Vec<String> {
    let results = document["distributions"].as_array().unwrap();
    let result = results.iter().find(|result| result["name"] == name).unwrap();
    let used = result["record"]["report"]["build_requirements"].as_array().unwrap();
    used.iter().map(|used| format!("{} {}", used["name"], used["version"]).replace('"', "")).collect()
}

fn lock(place: &Place) -> String {
    fs_err::read_to_string(place.path("project/crosswheel.lock")).unwrap()
}

#[test]
fn build_requirements_are_locked_beside_the_project_and_used_from_there() {
    let (server, place) = (index_with_tool(), Place::new());
    let project = write_project(&place, &server, &[Locked::sdist(&lib("one"))], "");
    let arguments = ["--project", &project, "--index-url", &server.index(), "--json"];
    place.wheelhouse(&arguments).ended(0);
    let before = lock(&place);
    assert!(before.contains("name = \"tool\"\nversion = \"1.5\""), "{before}");
    // A newer one is there, and nobody wants it: not for what is locked, and not when that is built again.
    server.add_project(
        "tool",
        &[
            ("tool-1.5-py3-none-any.whl", &wheel("tool", "1.5")),
            ("tool-1.6-py3-none-any.whl", &wheel("tool", "1.6")),
        ],
    );
    let again = [&arguments[..], &["--rebuild", "--refresh"]].concat();
    let document = place.wheelhouse(&again).ended(0).json();
    assert_eq!(built_with(&document, "one"), ["tool 1.5"]);
    assert_eq!(lock(&place), before);
    // What is new is added, and nothing else is changed.
    write_project(&place, &server, &[Locked::sdist(&lib("one")), Locked::sdist(&lib("two"))], "");
    let document = place.wheelhouse(&[&arguments[..], &["--refresh"]].concat()).ended(0).json();
    assert_eq!(status(&document, "one"), "kept");
    assert_eq!(built_with(&document, "two"), ["tool 1.6"]);
    let added = lock(&place);
    assert!(added.starts_with(&before), "{before}\n---\n{added}");
    // Unless it is asked for.
    let document = place.wheelhouse(&[&arguments[..], &["--update-lock"]].concat()).ended(0).json();
    assert_eq!(built_with(&document, "one"), ["tool 1.6"]);
    assert!(!lock(&place).contains("1.5"), "{}", lock(&place));
}

#[test]
fn what_does_not_fit_the_lock_is_refused_with_a_way_out() {
    let (server, place) = (index_with_tool(), Place::new());
    let project = write_project(&place, &server, &[Locked::sdist(&lib("one"))], "");
    let arguments = ["--project", &project, "--index-url", &server.index()];
    place.wheelhouse(&arguments).ended(0);
    // The same version, and another sdist.
    let other = Project { runs: "1 + 1", ..lib("one") };
    write_project(&place, &server, &[Locked::sdist(&other)], "");
    place.wheelhouse(&arguments).ended(23).says("the lock has ").says("--update-lock");
    place.wheelhouse(&[&arguments[..], &["--update-lock"]].concat()).ended(0);
    place.wheelhouse(&[&arguments[..], &["--build-requires", "tool>=2"]].concat()).ended(23);
}

#[test]
fn packages_are_built_as_the_project_says() {
    let (server, place) = (index_with_tool(), Place::new());
    server.add_project("extra", &[("extra-2.0-py3-none-any.whl", &wheel("extra", "2.0"))]);
    let runs = "import os; assert os.environ['MODE'] == 'fast', os.environ.get('MODE')";
    let one = Project { imports: &["tool", "extra"], runs, ..lib("one") };
    let settings = "no-binary-package = [\"plain\"]\n\
        [tool.uv.extra-build-dependencies]\none = [\"extra\"]\n\
        [tool.uv.extra-build-variables]\none = { MODE = \"fast\" }\n";
    let plain = Project { name: "plain", version: "3.0", ..Project::default() };
    let plain = Locked { wheels: Locked::wheel("plain", "3.0").wheels, ..Locked::sdist(&plain) };
    let packages = [Locked::sdist(&one), plain, Locked::sdist(&lib("two"))];
    let project = write_project(&place, &server, &packages, settings);
    let arguments = ["--project", &project, "--index-url", &server.index(), "--json"];
    let document = place.wheelhouse(&arguments).ended(0).json();
    assert_eq!(built_with(&document, "one"), ["extra 2.0", "tool 1.5"]);
    assert_eq!(built_with(&document, "two"), ["tool 1.5"]);
    assert_eq!(status(&document, "plain"), "built");
    let runs = "raise SystemExit('built')";
    write_project(&place, &server, &[Locked::sdist(&Project { runs, ..lib("one") })], "no-build = true\n");
    place.wheelhouse(&arguments[..4]).ended(22).says("no-build is set for it");
}

#[test]
fn what_would_be_built_beside_what_is_installed_is_built_with_that() {
    let server = Server::start();
    let files: Vec<_> = ["1.4", "1.5"]
        .map(|version| (format!("tool-{version}-py3-none-any.whl"), wheel("tool", version)))
        .into();
    let listed: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    server.add_project("tool", &listed);
    for settings in [
        "no-build-isolation-package = [\"one\"]",
        "[tool.uv.extra-build-dependencies]\none = [{ requirement = \"tool\", match-runtime = true }]",
    ] {
        let place = Place::new();
        let packages = [Locked::sdist(&lib("one")), Locked::wheel("tool", "1.4"), Locked::sdist(&lib("two"))];
        let project = write_project(&place, &server, &packages, settings);
        let arguments = ["--project", &project, "--index-url", &server.index(), "--json"];
        let document = place.wheelhouse(&arguments).ended(0).json();
        assert_eq!(built_with(&document, "one"), ["tool 1.4"], "{settings}");
        assert_eq!(built_with(&document, "two"), ["tool 1.5"], "{settings}");
        let notes = document["notes"].to_string();
        assert_eq!(notes.contains("no-build-isolation: one"), settings.starts_with("no-build"), "{notes}");
    }
}

#[test]
fn sdists_of_source_trees_are_made_as_the_project_says_of_them() {
    let (server, place) = (Server::start(), Place::new());
    let settings = "[tool.uv.extra-build-variables]\napp = { MODE = \"fast\" }\n";
    let project = write_project(&place, &server, &[Locked::named("app", "0")], settings);
    let lock = fs_err::read_to_string(place.path("project/uv.lock")).unwrap();
    let registry = format!("registry = \"{}\"", server.index());
    place.write("project/uv.lock", lock.replace(&registry, "directory = \"app\""));
    crate::trees::project(&place, "project/app", "[]", "assert os.environ['MODE'] == 'fast'");
    let document = place.wheelhouse(&["--project", &project, "--json"]).ended(0).json();
    assert_eq!(status(&document, "app"), "built");
}
