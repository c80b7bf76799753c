//! Modules are imported, and what becomes of those that cannot be.

use serde_json::json;

use super::scene::{Scene, module};
use crate::support::waiting::InTime;
use crate::wheel::scene::json;
use crate::wheels::builder::{WheelBuilder, native_tag, shared_library};

/// A wheel of `name` with an extension module of that name, made of C that needs no header.
fn extension(name: &str, source: &str) -> WheelBuilder {
    let wheel = WheelBuilder::new(&format!("{name}-1.0-{}.whl", native_tag()));
    wheel.file(&format!("{name}.abi3.so"), shared_library(source, &[]))
}

#[test]
fn a_module_that_is_missing_is_named_with_the_line_that_wants_it() {
    let scene = Scene::of(&[module("a", "1.0", "x = 1\nimport not_there\n")]);
    let [package, kind, message] = scene.problem();
    assert_eq!([&*package, &*kind], ["a", "import"]);
    assert_eq!(message, "`a` cannot be imported: ModuleNotFoundError: No module named 'not_there'");
    let evidence = scene.report().1["problems"][0]["evidence"].to_string();
    assert!(evidence.contains("a.py") && evidence.contains("line 2"), "{evidence}");
    assert!(!evidence.contains("import_module"), "it shows our own program: {evidence}");
}

#[test]
fn a_library_that_cannot_be_loaded_is_told_in_the_loader_s_words() {
    let source = "extern int nowhere(void);\nvoid *PyInit_broken(void) { nowhere(); return 0; }\n";
    let [package, kind, message] = Scene::of(&[extension("broken", source)]).problem();
    assert_eq!([&*package, &*kind], ["broken", "import"]);
    assert!(message.contains("ImportError") && message.contains("undefined symbol: nowhere"), "{message}");
}

#[test]
fn a_module_that_crashes_python_is_a_problem_with_its_stack() {
    let source = "void *PyInit_crash(void) { *(volatile int *)0 = 1; return 0; }\n";
    let scene = Scene::of(&[extension("crash", source), module("other", "1.0", "")]);
    let (good, report) = scene.report();
    assert!(!good);
    assert_eq!(report["imported"], json!(["other"]));
    let problem = &report["problems"][0];
    assert_eq!(problem["message"], "`crash` cannot be imported: its process was ended by SIGSEGV");
    assert!(problem["evidence"].to_string().contains("Segmentation fault"), "{problem:#}");
}

#[test]
fn a_module_that_does_not_end_is_ended() {
    let text = "import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(9999)'])\n\
        print('asleep', flush=True)\ntime.sleep(9999)\n";
    let scene = Scene::of(&[module("sleeps", "1.0", text)]).with(&["--timeout", "1"]);
    let [_, kind, message] = scene.problem();
    assert_eq!(kind, "import");
    assert_eq!(message, "`sleeps` cannot be imported: its process had not ended after 1 s");
    assert_eq!(scene.report().1["problems"][0]["evidence"], json!(["asleep"]));
}

/// What a module does to its process is not what says whether it was imported.
#[test]
fn a_module_may_print_read_and_start_threads_but_not_end_its_process() {
    let talks = "import sys, threading, time\nprint('x' * 1000000)\nprint('y', file=sys.stderr)\n\
        assert sys.stdin.read() == ''\nassert sys.argv == ['']\nthreading.Thread(target=time.sleep, args=(9999,)).start()\n";
    let report = Scene::of(&[module("talks", "1.0", talks)]).good();
    assert_eq!(report["imported"], json!(["talks"]));
    for (text, expected) in [
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("import os; os._exit(0)", "its process ended with exit code 0"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt:"),
        ("x = (", "SyntaxError"),
    ] {
        let [_, _, message] = Scene::of(&[module("ends", "1.0", text)]).problem();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn nothing_is_reached_from_within_and_nothing_stays() {
    let text = "import os, pathlib, socket\n\
        try: socket.create_connection(('127.0.0.1', 80), 1)\n\
        except OSError: pass\n\
        else: raise AssertionError('there is a network')\n\
        pathlib.Path(os.environ['HOME'], 'x').write_text('')\n\
        try: pathlib.Path(__file__).write_text('')\n\
        except OSError: pass\n\
        else: raise AssertionError('the venv can be changed')\n\
        assert 'CROSSWHEEL_CACHE_DIR' not in os.environ\n";
    Scene::of(&[module("curious", "1.0", text)]).good();
}

#[test]
fn namespaces_extensions_and_what_lies_beside_a_package_are_told_apart() {
    let namespace = WheelBuilder::new("ns_part-1.0-py3-none-any.whl")
        .file("ns/part/__init__.py", "")
        .file("ns/part/inner.py", "raise AssertionError('it is not at the top')")
        .file("tests/__init__.py", "raise AssertionError('a test is run')")
        .file("setup.py", "raise AssertionError('a program is run')")
        .file("ns_part.libs/libx.so", "");
    let other =
        WheelBuilder::new("ns_other-1.0-py3-none-any.whl").file("ns/other/__init__.py", "import ns.part");
    let library = WheelBuilder::new(&format!("lib-1.0-{}.whl", native_tag()))
        .file("lib.py", "")
        .file("libnothing.so", shared_library("int nothing(void) { return 1; }\n", &[]));
    let report = Scene::of(&[namespace, other, library]).good();
    assert_eq!(report["imported"], json!(["lib", "ns.other", "ns.part"]));
}

#[test]
fn only_what_is_named_is_imported() {
    let wheels = || [module("a", "1.0", "raise ValueError"), module("b", "1.0", "")];
    let report = Scene::of(&wheels()).with(&["--import", "B"]).good();
    assert_eq!(report["imported"], json!(["b"]));
    let report = Scene::of(&wheels()).with(&["--no-imports"]).good();
    assert_eq!((&report["imported"], &report["installed"]), (&json!([]), &json!(2)));
    let output = Scene::of(&wheels()).with(&["--import", "c"]).run();
    assert_eq!(output.status.code(), Some(2));
    let message = json(&output)["error"]["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("--import c: none of the wheels is of it") && message.contains("such as a"),
        "{message}"
    );
}

#[test]
fn without_a_sandbox_it_is_checked_all_the_same() {
    let wheels = [
        module("a", "1.0", "import b").requires("b"),
        module("b", "1.0", ""),
        module("c", "1.0", "import no"),
    ];
    let scene = Scene::of(&wheels).with(&["--sandbox", "off"]);
    let (_, report) = scene.report();
    assert_eq!(report["imported"], json!(["a", "b"]));
    assert_eq!(report["problems"][0]["package"], "c");
    assert_eq!(report["isolation"]["sandbox"], "none");
}

#[test]
fn a_person_is_told_what_is_wrong_and_how_much_is_right() {
    let scene = Scene::of(&[module("a", "1.0", "import no"), module("b", "1.0", "")]);
    let output = scene.command().arg(scene.path("wheels")).output_in_time();
    assert_eq!(output.status.code(), Some(26));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.starts_with("2 wheels installed, 1 module imported, 1 problem (Python 3."), "{stdout}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.starts_with("error: a 1.0: import: `a` cannot be imported: ModuleNotFoundError"),
        "{stderr}"
    );
    assert!(stderr.contains("\n  |   File"), "{stderr}");
}
