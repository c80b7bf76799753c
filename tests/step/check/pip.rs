//! `pip check`, by a pip that is given.

use std::path::PathBuf;

use super::scene::{Scene, module};
use crate::wheels::builder::{PYTHON, WheelBuilder};

/// A wheel of something that is called as pip is, and says what `text` makes it say.
fn pretended(scene: &Scene, text: &str) -> String {
    let main = format!("def main(arguments):\n    assert arguments == ['check']\n    {text}\n");
    let wheel = WheelBuilder::new("pip-99.0-py3-none-any.whl")
        .file("pip/__init__.py", "")
        .file("pip/_internal/__init__.py", "")
        .file("pip/_internal/cli/__init__.py", "")
        .file("pip/_internal/cli/main.py", main);
    wheel.write(scene.path("wheels").parent().unwrap()).to_str().unwrap().to_owned()
}

fn with_pip(text: &str) -> Scene {
    let scene = Scene::of(&[module("a", "1.0", "").requires("missing"), module("b", "2.0", "")]);
    let pip = pretended(&scene, text);
    scene.with(&["--pip", &pip])
}

#[test]
fn what_pip_says_holds() {
    let scene = with_pip("print('No broken requirements found.'); return 0");
    assert_eq!(scene.good()["checked_by"], "pip 99.0");
    let scene = with_pip(
        "print('a 1.0 has requirement b<2, but you have b 2.0.\\nB 2.0 is not supported on this platform'); return 1",
    );
    assert_eq!(
        scene.problems(),
        [
            ["a", "conflict", "has requirement b<2, but you have b 2.0"],
            ["b", "install", "is not supported on this platform"]
        ]
    );
}

#[test]
fn pip_itself_is_not_among_what_is_installed() {
    let text = "import importlib.metadata as m; names = sorted(d.metadata['Name'] for d in m.distributions()); \
        print(names); return 0 if names == ['a', 'b'] else 3";
    let report = with_pip(text).good();
    assert_eq!(report["checked_by"], "pip 99.0", "{report:#}");
}

#[test]
fn where_pip_fails_crosswheel_looks_itself_and_says_so() {
    for text in ["raise ValueError('no')", "return 1", "import os; os.abort()"] {
        let scene = with_pip(text);
        let (_, report) = scene.report();
        assert_eq!(report["checked_by"], "crosswheel");
        assert_eq!(report["problems"][0]["message"], "requires missing, which is not installed");
        let note = report["notes"][0].as_str().unwrap();
        assert!(note.starts_with("`pip check` of pip 99.0 "), "{note}");
    }
}

/// The pip that Python brings along, where it does.
#[test]
fn a_real_pip_finds_what_crosswheel_finds() {
    let Some(pip) = bundled_pip() else {
        eprintln!("this Python has no pip in ensurepip");
        return;
    };
    let scene = Scene::of(&[
        module("a", "1.0", "").requires("missing>1").requires("b<2"),
        module("b", "2.0", ""),
        module("c", "1.0", "").requires("b"),
    ]);
    let own = scene.problems();
    let scene = scene.with(&["--pip", pip.to_str().unwrap()]);
    let by_pip = scene.problems();
    assert!(scene.report().1["checked_by"].as_str().unwrap().starts_with("pip "), "{:#}", scene.report().1);
    let kinds = |problems: &[[String; 3]]| {
        let mut kinds: Vec<_> =
            problems.iter().map(|[package, kind, _]| format!("{package} {kind}")).collect();
        kinds.sort();
        kinds
    };
    assert_eq!(kinds(&by_pip), ["a conflict", "a missing-dependency"]);
    assert_eq!(kinds(&by_pip), kinds(&own));
}

fn bundled_pip() -> Option<PathBuf> {
    let (major, minor, _) = PYTHON.version;
    let directory = PYTHON.base_prefix.join(format!("lib/python{major}.{minor}/ensurepip/_bundled"));
    let mut entries = fs_err::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
    entries.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pip-")))
}
