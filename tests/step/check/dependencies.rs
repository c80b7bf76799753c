//! What wheels require, and of which Python they are.

use crosswheel::packaging::interpreter::Interpreter;
use serde_json::json;

use super::scene::{Scene, module};
use crate::wheels::builder::{PYTHON, WheelBuilder};

#[test]
fn wheels_that_have_what_they_require_are_good() {
    let a = module("a", "1.0", "import b")
        .requires("B>=1.5,<3")
        .requires("absent; sys_platform == 'win32'")
        .requires("extra-thing; extra == 'more'");
    let report = Scene::of(&[a, module("b", "2.0rc1", "")]).good();
    assert_eq!(report["installed"], 2);
    assert_eq!(report["imported"], json!(["a", "b"]));
    assert_eq!(report["checked_by"], "crosswheel");
    assert_eq!(report["target"], PYTHON.target().to_string());
    assert_eq!(report["python_version"], PYTHON.version_text());
    assert_eq!(report["emulated"], false);
    assert_eq!(report["isolation"]["sandbox"], "namespaces");
}

#[test]
fn what_is_missing_is_a_problem_of_whoever_requires_it() {
    let scene = Scene::of(&[module("a", "1.0", "").requires("Not_There>=2; python_version >= '3'")]);
    let [package, kind, message] = scene.problem();
    assert_eq!([&*package, &*kind], ["a", "missing-dependency"]);
    assert_eq!(message, "requires not-there>=2, which is not installed");
}

#[test]
fn another_version_than_is_required_is_a_conflict() {
    let scene = Scene::of(&[module("a", "1.0", "").requires("b<2"), module("b", "2.0", "")]);
    let [package, kind, message] = scene.problem();
    assert_eq!([&*package, &*kind], ["a", "conflict"]);
    assert_eq!(message, "requires b<2, but b 2.0 is installed");
}

#[test]
fn a_wheel_for_another_python_is_told_by_what_it_says() {
    let scene = Scene::of(&[
        module("a", "1.0", "").metadata("Version: 1.0\n", "Version: 1.0\nRequires-Python: >=3.99\n"),
        WheelBuilder::new("b-1.0-cp39-cp39-win_amd64.whl").file("b.py", ""),
    ]);
    let [first, second] = &scene.problems()[..] else { panic!("two problems") };
    assert_eq!(first[..2], ["a", "requires-python"]);
    assert!(first[2].contains("requires Python >=3.99, and this is 3."), "{}", first[2]);
    assert_eq!(second[..2], ["b", "install"]);
    assert!(second[2].contains("its tags do not fit Python 3."), "{}", second[2]);
}

#[test]
fn every_python_that_is_here_can_check() {
    let cache = tempfile::tempdir().unwrap();
    let mut checked = 0;
    for version in ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"] {
        let Ok(python) = Interpreter::find(version, cache.path()) else { continue };
        let crash = module("crash", "1.0", "import os; os.abort()");
        let scene = Scene::of(&[module("good", "1.0", "import json"), crash]);
        let scene = scene.with(&["--python", python.executable.to_str().unwrap()]);
        let (_, report) = scene.report();
        assert_eq!(report["imported"], json!(["good"]), "{version}");
        assert_eq!(report["problems"][0]["kind"], "import", "{version}");
        assert_eq!(report["python_version"], python.version_text());
        checked += 1;
    }
    assert!(checked > 0, "there is no Python at all");
}
