//! What a build sees of this machine, and what shows of it in the wheel: nothing.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::scene::*;
use crate::support::waiting::InTime;

#[test]
fn the_environment_is_built_from_nothing() {
    let bench =
        Bench::with_body("data = json.dumps(dict(os.environ, UMASK=oct(os.umask(0)), PREFIX=sys.prefix))");
    let mut command = bench.command();
    command.args(["--env", "EXTRA=1", "--env", "CFLAGS=-O1"]);
    command.env("PYTHONPATH", "/nowhere").env("PYTHONHOME", "/nowhere").env("SECRET", "x").env("LC_ALL", "C");
    let output = command.output_in_time();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = json(&output)["built"].clone();
    let seen: Value = serde_json::from_str(&bench.wheel_member(&report, "demo.py")).unwrap();
    for (name, value) in [
        ("SOURCE_DATE_EPOCH", "315532800"),
        ("PYTHONHASHSEED", "0"),
        ("LC_ALL", "C.UTF-8"),
        ("TZ", "UTC"),
        ("UMASK", "0o22"),
        ("EXTRA", "1"),
        ("SETUPTOOLS_SCM_PRETEND_VERSION", "1.0"),
        ("SETUPTOOLS_SCM_PRETEND_VERSION_FOR_DEMO", "1.0"),
    ] {
        assert_eq!(seen[name], value, "{name}");
    }
    for absent in ["PYTHONPATH", "PYTHONHOME", "SECRET", "CROSSWHEEL_CACHE_DIR"] {
        assert!(seen[absent].is_null(), "{absent}");
    }
    let prefix = seen["PREFIX"].as_str().unwrap();
    let workspace = prefix.strip_suffix("/venv").unwrap();
    for (name, directory) in [("HOME", "home"), ("TMPDIR", "tmp")] {
        assert_eq!(seen[name], format!("{workspace}/{directory}"));
    }
    assert!(seen["PATH"].as_str().unwrap().starts_with(&format!("{prefix}/bin:")));
    let prefix_map = format!("-ffile-prefix-map={workspace}=/crosswheel");
    assert_eq!(seen["CFLAGS"], format!("{prefix_map} -O1"));
    assert_eq!(seen["CXXFLAGS"], prefix_map);
}

/// The wheel holds what commonly leaks: paths, names, times, modes, order.
#[test]
fn two_builds_are_byte_identical_whatever_surrounds_them() {
    let bench = Bench::with_body(
        "open('generated', 'w').close()\n\
         data = json.dumps([os.getcwd(), sys.prefix, os.environ['HOME'], os.getuid(), os.uname().nodename,\n\
         \x20   oct(os.stat('generated').st_mode), int(os.stat('pyproject.toml').st_mtime), hash('x'), sorted(os.listdir('.')), os.path.basename(tempfile.mkdtemp())])",
    );
    let first = bench.report(&[]);
    for (umask, directory) in [("077", "elsewhere"), ("000", "a/much/deeper/place")] {
        let directory = bench.path(directory);
        fs_err::create_dir_all(&directory).unwrap();
        let mut shell = Command::new("/bin/sh");
        shell.args([
            "-c",
            &format!("umask {umask}; exec \"$@\""),
            "sh",
            env!("CARGO_BIN_EXE_crosswheel"),
            "wheel",
        ]);
        shell.arg(&bench.sdist).args([
            "--json",
            "--out",
            "out",
            "--work-dir",
            "work",
            "--cache-dir",
            "cache",
        ]);
        let output =
            shell.current_dir(&directory).env("TMPDIR", &directory).env("USER", "x").output_in_time();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(json(&output)["built"]["sha256"], first["sha256"], "umask {umask}");
    }
}

#[test]
fn looking_up_a_host_is_network_access_and_fails_closed() {
    let bench = Bench::with_body("import socket\nsocket.getaddrinfo('pypi.org', 443)");
    let failure = bench.failure(13, &[]);
    assert_eq!(failure["class"], "network-access");
    assert!(!failure["evidence"].as_array().unwrap().is_empty());
}

/// Even an address that needs no name: a server of this host, which the build must not reach.
#[test]
fn a_server_on_this_host_is_out_of_reach() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    for sandbox in ["auto", "off"] {
        let bench = Bench::with_body(&format!(
            "import socket\ntry:\n    socket.create_connection(('127.0.0.1', {port})).close()\n    data = 'connected'\nexcept OSError as error:\n    data = 'refused'"
        ));
        let report = bench.report(&["--sandbox", sandbox]);
        assert_eq!(bench.wheel_member(&report, "demo.py"), "refused", "--sandbox {sandbox}");
    }
}

#[test]
fn directories_may_be_relative_and_lead_upwards() {
    let bench = Bench::with_body("import shutil\ndata = shutil.which('tool')");
    fs_err::create_dir_all(bench.path("below")).unwrap();
    fs_err::create_dir_all(bench.path("tools")).unwrap();
    fs_err::write(bench.path("tools/tool"), "#!/bin/sh\n").unwrap();
    fs_err::set_permissions(bench.path("tools/tool"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let mut command = bench.command();
    command.current_dir(bench.path("below")).args(["--cache-dir=../c", "--path=../tools"]);
    let output = command.output_in_time();
    assert!(output.status.success(), "{output:?}");
    command.arg("--work-dir=../w");
    let output = command.output_in_time();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        bench.wheel_member(&json(&output)["built"], "demo.py"),
        bench.path("tools/tool").display().to_string()
    );
}

#[test]
fn what_a_build_does_to_its_venv_no_other_build_sees() {
    let tool = Bench::with_body("");
    tool.report(&[]);
    let wheel = tool.path("out/demo-1.0-py3-none-any.whl");
    let body = "import demo
data = open(demo.__file__).read()
try:
    os.chmod(demo.__file__, 0o644)
    open(demo.__file__, 'a').write('X = 2')
except OSError:
    pass";
    let indented: String = body.lines().map(|line| format!("    {line}\n")).collect();
    let bench = Bench::with_files(&[
        ("pyproject.toml", &PYPROJECT.replace("[]", "['demo']")),
        ("backend.py", &BACKEND.replace("BODY", &indented)),
    ]);
    for sandbox in ["--sandbox=off", "--sandbox=auto", "--sandbox=auto"] {
        let report = bench.report(&[sandbox, "--build-wheels", wheel.to_str().unwrap()]);
        assert_eq!(bench.wheel_member(&report, "demo.py"), "");
    }
}

#[test]
fn what_a_patch_changes_has_the_same_time_in_every_build_and_is_younger_than_the_rest() {
    let body = "times = [os.stat(name).st_mtime for name in ('backend.py', 'new.txt', '.')]
data = repr(times)";
    let bench = Bench::with_body(body);
    let patch = bench.path("new.patch");
    fs_err::write(&patch, "--- /dev/null\n+++ b/new.txt\n@@ -0,0 +1 @@\n+new\n").unwrap();
    for _ in 0..2 {
        let report = bench.report(&["--patch", patch.to_str().unwrap()]);
        assert_eq!(bench.wheel_member(&report, "demo.py"), "[315532800.0, 315532801.0, 315532801.0]");
    }
}

/// A wheel of `project` with nothing in it but what a wheel must have.
fn empty_wheel(directory: &Path, project: &str) -> PathBuf {
    let path = directory.join(format!("{project}-1.0-py3-none-any.whl"));
    let mut wheel = zip::ZipWriter::new(fs_err::File::create(&path).unwrap());
    let info = format!("{project}-1.0.dist-info");
    let files = [
        (format!("{info}/METADATA"), format!("Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n")),
        (
            format!("{info}/WHEEL"),
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_owned(),
        ),
    ];
    let mut record = String::new();
    for (name, content) in files {
        let digest = crosswheel::digest::Sha256::of(content.as_bytes());
        let digest = base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, digest.as_bytes());
        record.push_str(&format!("{name},sha256={digest},{}\n", content.len()));
        wheel.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        wheel.write_all(content.as_bytes()).unwrap();
    }
    wheel.start_file(format!("{info}/RECORD"), zip::write::SimpleFileOptions::default()).unwrap();
    wheel.write_all(format!("{record}{info}/RECORD,,\n").as_bytes()).unwrap();
    wheel.finish().unwrap();
    path
}

/// Recent setuptools takes CFLAGS instead of the interpreter's own flags, which hold the optimisation.
#[test]
fn setuptools_gets_the_interpreters_compiler_flags_and_others_do_not() {
    let bench = Bench::with_body(
        "import sysconfig\ndata = json.dumps([os.environ['CFLAGS'], os.environ['CXXFLAGS'], sysconfig.get_config_var('CFLAGS')])",
    );
    let flags = |arguments: &[&str]| -> [String; 3] {
        serde_json::from_str(&bench.wheel_member(&bench.report(arguments), "demo.py")).unwrap()
    };
    let [c, _, own] = flags(&[]);
    assert!(c.starts_with("-ffile-prefix-map=") && !own.is_empty(), "{c}");
    let setuptools = empty_wheel(bench.directory.path(), "setuptools");
    let [c, cxx, own] = flags(&["--build-wheels", setuptools.to_str().unwrap()]);
    let changes_code = |flag: &&str| !flag.starts_with("-W") || flag.starts_with("-Wp,");
    let own: Vec<_> = own.split_whitespace().filter(changes_code).collect();
    assert!(c.starts_with(&format!("{} -ffile-prefix-map=", own.join(" "))), "{c}");
    assert_eq!(c, cxx);
}
