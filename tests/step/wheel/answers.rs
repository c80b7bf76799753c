//! What is said of a build: on standard output, in the report, of the compiler.

use std::process::Command;

use serde_json::Value;

use super::scene::*;
use crate::support::waiting::InTime;

#[test]
fn the_report_is_the_document_of_standard_output_whatever_it_says() {
    let bench = Bench::with_body("if 'fail' in (config_settings or {}): raise ValueError('no')");
    let report = bench.path("reports/deep/report.json");
    let file = report.to_str().unwrap();
    for (code, more) in [(0, vec![]), (20, vec!["--config-setting", "fail=1"]), (2, vec!["--python", "3.99"])]
    {
        let output = bench.build(&[&["--report", file], &more[..]].concat());
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert_eq!(fs_err::read(&report).unwrap(), output.stdout);
        assert_eq!(
            fs_err::read_dir(report.parent().unwrap()).unwrap().count(),
            1,
            "a temporary file is left"
        );
    }
    // Where a report was asked for and cannot be had, there is no success.
    let output = bench.build(&["--report", &format!("{file}/report.json")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(json(&output)["error"]["message"].as_str().unwrap().contains("cannot write the report"));
}

#[test]
fn who_asks_for_a_report_and_for_quiet_hears_nothing_of_success() {
    let bench = Bench::with_body("print('backend speaks')");
    let wheel = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crosswheel"));
        command.arg("wheel").arg(&bench.sdist).arg("--out").arg(bench.path("out")).args(more);
        let output = command.env("CROSSWHEEL_CACHE_DIR", bench.path("cache")).output_in_time();
        assert!(output.status.success(), "{output:?}");
        output
    };
    let report = format!("--report={}", bench.path("report.json").display());
    let silent = wheel(&["--quiet", &report]);
    assert_eq!((silent.stdout, silent.stderr), (Vec::new(), Vec::new()));
    assert!(!wheel(&["--quiet"]).stdout.is_empty());
    assert!(!wheel(&[&report]).stdout.is_empty());
}

/// Workers of others start whichever crosswheel they have.
#[test]
fn by_a_contract_that_it_does_not_know_the_step_builds_nothing() {
    let bench = Bench::with_body("pass");
    for (variable, value, says) in [
        ("CROSSWHEEL_CONTRACT", "0", "regenerate platforms/"),
        ("CROSSWHEEL_VERSION", env!("CARGO_PKG_VERSION"), "regenerate platforms/"),
        ("CROSSWHEEL_CONTRACT", "4000000000", "upgrade the worker"),
    ] {
        let output = bench.command().env(variable, value).output_in_time();
        assert_eq!(output.status.code(), Some(1), "{variable}={value}");
        let error = &json(&output)["error"];
        assert_eq!(error["kind"], "host");
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
    }
    let output = bench.command().env("CROSSWHEEL_CONTRACT", "1").output_in_time();
    assert!(output.status.success(), "{output:?}");
}

/// A wheel whose machine code was compiled as build systems do it: by CC of the environment, or else by the
/// interpreter's own.
fn compiling() -> Bench {
    Bench::with_body(
        "import shlex, subprocess, sysconfig
tag = 'py3-none-' + sysconfig.get_platform().replace('-', '_')
with open('demo.c', 'w') as source: source.write('int demo(void) { return 1; }')
command = shlex.split(os.environ.get('CC') or sysconfig.get_config_var('CC'))
subprocess.run([*command, '-shared', '-fPIC', '-nostdlib', '-o', 'demo.so', 'demo.c'], check=True)
with open('demo.so', 'rb') as module: native = module.read()
data = json.dumps([os.environ.get(name) for name in ('CC', 'CXX')])",
    )
}

#[test]
fn the_report_names_the_compiler_of_machine_code() {
    let pure = Bench::with_body("pass").report(&[]);
    assert_eq!((&pure["emulated"], &pure["compiler"]), (&Value::Bool(false), &Value::Null));
    // As an older crosswheel wrote it.
    let mut older = serde_json::json!({ "built": pure });
    let fields = older["built"].as_object_mut().unwrap();
    assert!(fields.remove("emulated").is_some() && fields.remove("compiler").is_some());
    let outcome: crosswheel::contract::Answer = serde_json::from_value(older).unwrap();
    let crosswheel::contract::Answer::Built(report) = outcome else { panic!() };
    assert!(!report.emulated && report.compiler.is_none());

    let bench = compiling();
    let compiler = |arguments: &[&str]| bench.report(arguments)["compiler"].clone();
    let found = compiler(&[]);
    assert_eq!(found["kind"], "native");
    assert!(found["program"].as_str().unwrap().starts_with('/') && found["version"].is_string(), "{found}");
    // Somebody else's choice is not run just to ask for its version.
    let chosen = compiler(&["--env", "CC=/usr/bin/gcc -g"]);
    assert_eq!(chosen, serde_json::json!({ "kind": "native", "program": "/usr/bin/gcc", "version": null }));
}

#[test]
fn a_cross_compiler_is_what_compiles_unless_the_user_has_another() {
    let bench = compiling();
    let tools = bench.path("tools of mine");
    fs_err::create_dir(&tools).unwrap();
    for name in ["gcc", "g++"] {
        let program = tools.join(format!("cross-{name}"));
        // By another process: this one may just be starting some other test's, which would inherit the file.
        let script = format!("#!/bin/sh\necho compiled by {name} >&2\nexec {name} \"$@\"\n");
        let mut shell = Command::new("sh");
        shell.args(["-c", "printf %s \"$1\" > \"$2\" && chmod +x \"$2\"", "sh", &script]).arg(&program);
        assert!(shell.status_in_time().success());
    }
    let program = tools.join("cross-gcc").display().to_string();
    let command = format!("'{program}' -DCROSS");
    let run = |more: &[&str]| {
        let output = bench.command().args(more).env("CROSSWHEEL_CROSS_CC", &command).output_in_time();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report = json(&output)["built"].clone();
        let seen: Value = serde_json::from_str(&bench.wheel_member(&report, "demo.py")).unwrap();
        (report, seen, String::from_utf8(output.stderr).unwrap())
    };
    let (report, seen, log) = run(&[]);
    assert_eq!(
        (&report["compiler"]["kind"], &report["compiler"]["program"]),
        (&"cross".into(), &(*program).into())
    );
    assert!(report["compiler"]["version"].as_str().unwrap().contains("gcc"), "{report}");
    assert!(seen[0].as_str().unwrap().starts_with(&command), "{seen}");
    assert!(seen[1].as_str().unwrap().contains("cross-g++"), "{seen}");
    assert!(log.contains("compiled by gcc"), "{log}");

    let (report, seen, log) = run(&["--env", "CC=gcc"]);
    assert_eq!((&report["compiler"]["kind"], &seen[0]), (&"native".into(), &"gcc".into()));
    assert!(!log.contains("compiled by gcc"), "{log}");

    let mut command_line = Command::new(env!("CARGO_BIN_EXE_crosswheel"));
    command_line
        .arg("wheel")
        .arg(&bench.sdist)
        .arg("--out")
        .arg(bench.path("out"))
        .args(["--quiet", "--cross-cc"]);
    let output = command_line.arg(&command).env("CROSSWHEEL_CACHE_DIR", bench.path("cache")).output_in_time();
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(notes.contains(&format!("note: the C compiler was cross: {program} (")), "{notes}");
}
