//! The backend is called as PEP 517 wants it.

use std::io::Write;
use std::process::Stdio;

use super::scene::*;
use crate::support::visible_directory;
use crate::support::waiting::InTime;

#[test]
fn an_sdist_with_its_own_backend_becomes_a_verified_wheel_and_a_report() {
    let bench = Bench::with_body("data = 'x = 1\\n'");
    let report = bench.report(&[]);
    assert_eq!(report["file_name"], "demo-1.0-py3-none-any.whl");
    assert_eq!(
        (&report["name"], &report["version"], &report["pure"]),
        (&"demo".into(), &"1.0".into(), &true.into())
    );
    assert_eq!(report["tags"], serde_json::json!(["py3-none-any"]));
    assert_eq!(report["build_requirements"], serde_json::json!([]));
    let wheel = fs_err::read(bench.path("out/demo-1.0-py3-none-any.whl")).unwrap();
    assert_eq!(report["size_bytes"], wheel.len());
    assert_eq!(report["sha256"], crosswheel::digest::Sha256::of(&wheel).to_string());
    for stage in ["unpack", "venv", "requires", "backend", "verify", "publish", "total"] {
        assert!(report["seconds"][stage].is_f64(), "{stage}");
    }
    assert!(report["peak_memory_bytes"].as_u64().unwrap() > 1 << 20);
    bench.assert_no_workspace();
}

/// PEP 517: hooks run in processes of their own, in the source root, which is not on `sys.path`.
#[test]
fn hooks_do_not_see_each_others_state() {
    let backend = BACKEND
        .replace("    return REQUIRES", "    global SEEN\n    SEEN = True\n    sys.requires_hook_ran = True\n    return REQUIRES")
        .replace("BODY", "    data = json.dumps(['SEEN' in globals(), hasattr(sys, 'requires_hook_ran'), os.getcwd() in sys.path, os.path.basename(os.getcwd())])");
    let bench = Bench::with_backend(&backend);
    let report = bench.report(&[]);
    // "." is on the path because this sdist's backend-path puts it there.
    assert_eq!(bench.wheel_member(&report, "demo.py"), r#"[false, false, true, "demo-1.0"]"#);
}

/// Such a process imports the program again that called the hooks, and must not call them again.
#[test]
fn a_backend_may_spawn_processes_with_multiprocessing() {
    let body = "import multiprocessing\nwith multiprocessing.get_context('spawn').Pool(1) as pool:\n    data = str(pool.map(abs, [-7]))";
    for sandbox in ["auto", "off"] {
        let bench = Bench::with_body(body);
        let report = bench.report(&["--sandbox", sandbox]);
        assert_eq!(bench.wheel_member(&report, "demo.py"), "[7]", "--sandbox {sandbox}");
    }
}

/// What some backends import in their hooks is imported once, before the hooks, and the hooks stay apart.
#[test]
fn what_the_hooks_of_a_lazy_backend_import_is_imported_once() {
    let backend = BACKEND
        .replace("    return REQUIRES", "    import pdm.backend.wheel\n    assert pdm.backend.wheel.PROCESS == os.getppid()\n    return REQUIRES")
        .replace("BODY", "    import pdm.backend.wheel\n    data = str(pdm.backend.wheel.PROCESS == os.getpid())");
    let bench = Bench::with_files(&[
        ("pyproject.toml", &PYPROJECT.replace("\"backend\"", "\"pdm.backend\"")),
        ("PKG-INFO", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n\n"),
        ("pdm/backend/__init__.py", &backend),
        ("pdm/backend/wheel.py", "import os\nPROCESS = os.getpid()"),
    ]);
    let report = bench.report(&[]);
    assert_eq!(bench.wheel_member(&report, "demo.py"), "True");
    // One that is of another make than expected still works.
    let bench = Bench::with_files(&[
        ("pyproject.toml", &PYPROJECT.replace("\"backend\"", "\"pdm.backend\"")),
        ("PKG-INFO", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n\n"),
        ("pdm/backend.py", &BACKEND.replace("BODY", "    data = 'other'")),
    ]);
    let report = bench.report(&[]);
    assert_eq!(bench.wheel_member(&report, "demo.py"), "other");
}

#[test]
fn a_requirement_of_pyproject_that_was_not_given_is_listed_and_nothing_runs() {
    let marker = format!("ran-{}", std::process::id());
    let bench = Bench::with_files(&[
        (
            "pyproject.toml",
            "[build-system]\nrequires = ['flit_core >=3.2,<4', 'never; python_version < \"3\"']\nbuild-backend = 'backend'\nbackend-path = ['.']",
        ),
        ("backend.py", &format!("import sys; print('{marker}', file=sys.stderr)")),
    ]);
    let output = bench.build(&[]);
    assert_eq!(output.status.code(), Some(10));
    let failure = json(&output)["failed"].clone();
    assert_eq!(failure["class"], "missing-build-requirement");
    assert_eq!(failure["missing_requirements"], serde_json::json!(["flit-core>=3.2,<4"]));
    assert!(failure["hint"].as_str().unwrap().contains("--build-wheels"));
    assert!(!String::from_utf8_lossy(&output.stderr).contains(&marker));
}

#[test]
fn what_the_hook_asks_for_is_listed_with_its_specifier_and_nothing_is_built() {
    let backend = BACKEND
        .replace("REQUIRES = []", "REQUIRES = ['Cython>=3,<4', 'wheel; python_version < \"3\"']")
        .replace("BODY", "    print('BUILT')");
    let bench = Bench::with_backend(&backend);
    let output = bench.build(&[]);
    assert_eq!(output.status.code(), Some(10), "{output:?}");
    assert_eq!(json(&output)["failed"]["missing_requirements"], serde_json::json!(["cython>=3,<4"]));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("BUILT"));
}

#[test]
fn config_settings_patches_and_explicit_interpreters_reach_the_build() {
    let bench = Bench::with_body("data = json.dumps(config_settings) + open('extra.txt').read()");
    let patch = bench.path("add.patch");
    fs_err::write(&patch, "--- /dev/null\n+++ b/extra.txt\n@@ -0,0 +1 @@\n+patched\n").unwrap();
    let python = which::which("python3").unwrap();
    let report = bench.report(&[
        "--patch",
        patch.to_str().unwrap(),
        "--config-setting",
        "a=1",
        "--config-setting",
        "b=2",
        "--config-setting",
        "b=3",
        "--python",
        python.to_str().unwrap(),
    ]);
    assert_eq!(bench.wheel_member(&report, "demo.py"), "{\"a\": \"1\", \"b\": [\"2\", \"3\"]}patched\n");
}

/// The build goes on only after its first line was seen here.
#[test]
fn the_backends_output_is_streamed_as_it_comes() {
    let directory = visible_directory();
    let signal = directory.path().join("seen");
    let bench = Bench::with_body(&format!(
        "import time\nprint('first line')\nwhile 'seen' not in os.listdir({:?}):\n    time.sleep(0.01)",
        directory.path().to_str().unwrap()
    ));
    let mut child = bench.command().stdout(Stdio::piped()).stderr(Stdio::piped()).start();
    child.stderr().until("first line");
    fs_err::File::create(&signal).unwrap().write_all(b"x").unwrap();
    assert!(child.exit().success());
}
