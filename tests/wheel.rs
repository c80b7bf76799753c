//! `crosswheel wheel` as a whole: real archives, a real Python, real processes, no network.
//!
//! The sdists bring their own backend (`backend-path`), so that nothing has to be installed and a
//! test can make the backend do whatever it wants to see handled.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// A well-behaved backend. `BODY` runs in `build_wheel` before the wheel is written; what it leaves
/// in `data` becomes a file of the wheel, and so do the bytes in `native`.
const BACKEND: &str = r#"
import base64, hashlib, json, os, sys, tempfile, zipfile

REQUIRES = []

def get_requires_for_build_wheel(config_settings=None):
    return REQUIRES

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    data = ""
    name, version, tag = "demo", "1.0", "py3-none-any"
    native = None
BODY
    files = {
        "demo.py": data,
        f"{name}-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{name}-{version}.dist-info/WHEEL": f"Wheel-Version: 1.0\nGenerator: demo\nRoot-Is-Purelib: {str(native is None).lower()}\nTag: {tag}\n",
    }
    files = {path: text.encode() for path, text in files.items()}
    if native is not None:
        files["demo_native.so"] = native
    record = f"{name}-{version}.dist-info/RECORD"
    lines = ""
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines += f"{path},sha256={digest},{len(content)}\n"
    files[record] = (lines + f"{record},,\n").encode()
    file_name = f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, file_name), "w") as wheel:
        for path, content in files.items():
            wheel.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), content)
    return file_name
"#;

/// A directory of one test, on the file system of the build, and an sdist in it.
struct Bench {
    directory: tempfile::TempDir,
    sdist: PathBuf,
}

impl Bench {
    /// An sdist whose backend runs `body` (unindented Python) in `build_wheel`.
    fn with_body(body: &str) -> Self {
        let indented: String = body.lines().map(|line| format!("    {line}\n")).collect();
        Self::with_backend(&BACKEND.replace("BODY", &indented))
    }

    fn with_backend(backend: &str) -> Self {
        Self::with_files(&[
            ("pyproject.toml", PYPROJECT),
            ("PKG-INFO", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nRequires-Python: >=3.8\n\n"),
            ("backend.py", backend),
        ])
    }

    fn with_files(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let sdist = directory.path().join("demo-1.0.tar.gz");
        let file = fs_err::File::create(&sdist).unwrap();
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
        for (name, content) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, format!("demo-1.0/{name}"), content.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
        Self { directory, sdist }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crosswheel"));
        command.arg("wheel").arg(&self.sdist).arg("--out").arg(self.path("out")).arg("--json");
        command.env("CROSSWHEEL_CACHE_DIR", self.path("cache")).stdin(Stdio::null());
        command
    }

    fn build(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// The report of a build that must succeed.
    fn report(&self, arguments: &[&str]) -> Value {
        let output = self.build(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        json(&output)["built"].clone()
    }

    /// The failure of a build that must fail with `code`.
    fn failure(&self, code: i32, arguments: &[&str]) -> Value {
        let output = self.build(arguments);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(!self.path("out").exists(), "a failed build left something in --out");
        self.assert_no_workspace();
        json(&output)["failed"].clone()
    }

    fn wheel_member(&self, report: &Value, name: &str) -> String {
        let file = fs_err::File::open(self.path("out").join(report["file_name"].as_str().unwrap())).unwrap();
        let mut text = String::new();
        zip::ZipArchive::new(file).unwrap().by_name(name).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    fn assert_no_workspace(&self) {
        let left: Vec<_> =
            fs_err::read_dir(self.path("cache/work")).into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

const PYPROJECT: &str =
    "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Whether any process on this machine has `argument` on its command line.
fn is_running(argument: &str) -> bool {
    fs_err::read_dir("/proc").unwrap().flatten().any(|entry| {
        let command_line = fs_err::read(entry.path().join("cmdline"));
        command_line.is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|part| part == argument.as_bytes()))
    })
}

/// Waits for what must happen in its own time; a test that never ends shows what never happened.
fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

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
fn the_environment_is_built_from_nothing() {
    let bench =
        Bench::with_body("data = json.dumps(dict(os.environ, UMASK=oct(os.umask(0)), PREFIX=sys.prefix))");
    let mut command = bench.command();
    command.args(["--env", "EXTRA=1", "--env", "CFLAGS=-O1"]);
    command.env("PYTHONPATH", "/nowhere").env("PYTHONHOME", "/nowhere").env("SECRET", "x").env("LC_ALL", "C");
    let output = command.output().unwrap();
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
            shell.current_dir(&directory).env("TMPDIR", &directory).env("USER", "x").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(json(&output)["built"]["sha256"], first["sha256"], "umask {umask}");
    }
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
fn an_older_python_is_refused_before_anything_runs() {
    let bench = Bench::with_files(&[
        ("pyproject.toml", PYPROJECT),
        ("PKG-INFO", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nRequires-Python: >=3.99\n\n"),
        ("backend.py", "raise SystemExit('ran')"),
    ]);
    let failure = bench.failure(15, &[]);
    assert!(failure["message"].as_str().unwrap().starts_with("demo needs Python >=3.99, this is 3."));
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
fn failures_of_the_backend_get_their_class() {
    let cases = [
        ("import numpy_that_is_not_there", 10, "numpy-that-is-not-there"),
        ("raise SystemExit('fatal error: openssl/evp.h: No such file or directory')", 11, "libssl-dev"),
        ("import subprocess\nsubprocess.run(['cmake-of-the-future'])", 12, "cmake-of-the-future"),
        ("raise MemoryError", 16, "memory"),
        ("os.kill(os.getpid(), 9)", 16, "memory"),
    ];
    for (body, code, hint) in cases {
        let failure = Bench::with_body(body).failure(code, &[]);
        assert!(failure["hint"].as_str().unwrap().contains(hint), "{body}: {failure}");
    }
    let failure = Bench::with_body("raise ValueError('strange')").failure(20, &[]);
    assert_eq!(failure["message"], "build_wheel failed with ValueError: strange");
    assert!(failure["evidence"].to_string().contains("ValueError: strange"));
}

/// Some projects answer a broken compiler with a pure wheel and exit code 0.
#[test]
fn a_silent_fall_back_to_a_pure_wheel_is_refused_unless_asked_for() {
    let files = |backend: &str| {
        Bench::with_files(&[("pyproject.toml", PYPROJECT), ("backend.py", backend), ("demo.c", "int x;")])
    };
    let backend =
        BACKEND.replace("BODY", "    print(\"error: command '/usr/bin/gcc' failed with exit code 1\")");
    let failure = files(&backend).failure(19, &[]);
    assert_eq!(failure["class"], "wheel-refused");
    assert!(failure["evidence"].to_string().contains("gcc"), "{failure}");
    assert_eq!(files(&backend).report(&["--expect", "any"])["pure"], true);
    let quiet = BACKEND.replace("BODY", "    pass");
    assert_eq!(files(&quiet).report(&[])["pure"], true);
    files(&quiet).failure(19, &["--expect", "native"]);
}

#[test]
fn a_wheel_of_another_version_or_name_is_refused() {
    Bench::with_body("version = '2.0'").failure(19, &[]);
    Bench::with_body("name = 'other'").failure(19, &[]);
    Bench::with_body("tag = 'py3-none-linux_ppc64le'").failure(19, &[]);
    Bench::with_body("open(os.path.join(wheel_directory, 'b-1-py3-none-any.whl'), 'w').close()")
        .failure(19, &[]);
}

#[test]
fn an_archive_that_escapes_is_refused_and_leaves_nothing() {
    let bench = Bench::with_body("pass");
    let file = fs_err::File::create(&bench.sdist).unwrap();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..18].copy_from_slice(b"demo-1.0/../escape");
    header.set_size(0);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append(&header, std::io::empty()).unwrap();
    tar.into_inner().unwrap().finish().unwrap();
    let failure = bench.failure(18, &[]);
    assert!(failure["message"].as_str().unwrap().contains("demo-1.0/../escape"), "{failure}");
}

#[test]
fn the_limits_of_the_command_line_hold() {
    let bench = Bench::with_body("pass");
    for limit in ["--limit-members=2", "--limit-bytes=100", "--limit-depth=1"] {
        bench.failure(18, &[limit]);
    }
}

#[test]
fn a_build_that_takes_too_long_dies_with_all_it_started() {
    let seconds = format!("98{}", std::process::id());
    let bench = Bench::with_body(&format!(
        "import subprocess, time\nprint('about to wait')\nsubprocess.Popen(['sleep', '{seconds}'], start_new_session=True)\ntime.sleep({seconds})"
    ));
    for sandbox in ["auto", "off"] {
        let failure = bench.failure(17, &["--timeout", "1", "--sandbox", sandbox]);
        assert!(failure["evidence"].to_string().contains("about to wait"), "{failure}");
        assert!(!is_running(&seconds), "--sandbox {sandbox}");
    }
}

/// Starts a build that waits for ever, and returns once its grandchild runs.
fn start_endless_build(bench: &Bench, seconds: &str) -> std::process::Child {
    let child =
        bench.command().process_group(0).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    wait_until(|| is_running(seconds));
    child
}

fn endless(seconds: &str) -> Bench {
    Bench::with_body(&format!(
        "import subprocess\nsubprocess.run(['setsid', 'sh', '-c', 'sleep {seconds} & wait'])"
    ))
}

#[test]
fn ctrl_c_leaves_nothing_running_and_nothing_half_written() {
    let seconds = format!("97{}", std::process::id());
    let bench = endless(&seconds);
    let mut child = start_endless_build(&bench, &seconds);
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!is_running(&seconds));
    assert!(!bench.path("out").exists());
    bench.assert_no_workspace();
}

#[test]
fn killing_crosswheel_kills_the_build_and_the_next_build_sweeps_up() {
    let seconds = format!("96{}", std::process::id());
    let bench = endless(&seconds);
    let mut child = start_endless_build(&bench, &seconds);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    wait_until(|| !is_running(&seconds));
    let left = fs_err::read_dir(bench.path("cache/work")).unwrap().count();
    assert_eq!(left, 2, "a killed build leaves its directory and its lock");
    let next = Bench::with_body("pass");
    let output = next.command().arg("--cache-dir").arg(bench.path("cache")).output().unwrap();
    assert!(output.status.success());
    bench.assert_no_workspace();
}

/// The build goes on only after its first line was seen here.
#[test]
fn the_backends_output_is_streamed_as_it_comes() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let signal = directory.path().join("seen");
    let bench = Bench::with_body(&format!(
        "import time\nprint('first line')\nwhile not os.path.exists({:?}):\n    time.sleep(0.01)",
        signal.to_str().unwrap()
    ));
    let mut child = bench.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "first line"));
    fs_err::File::create(&signal).unwrap().write_all(b"x").unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_wheel_appears_whole_and_replaces_an_older_one() {
    let bench = Bench::with_body("pass");
    fs_err::create_dir(bench.path("out")).unwrap();
    fs_err::write(bench.path("out/demo-1.0-py3-none-any.whl"), "old").unwrap();
    let report = bench.report(&[]);
    let files: Vec<_> =
        fs_err::read_dir(bench.path("out")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(files, ["demo-1.0-py3-none-any.whl"]);
    assert_eq!(fs_err::metadata(bench.path("out").join(&files[0])).unwrap().len(), report["size_bytes"]);
}

#[test]
fn a_command_line_that_makes_no_sense_is_told_why() {
    let bench = Bench::with_body("pass");
    let refused = |arguments: &[&str]| {
        let output = bench.build(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&["--python", "3.99"]).contains("found no Python 3.99"));
    assert!(refused(&["--build-wheels", "/nowhere.whl"]).contains("/nowhere.whl"));
    assert!(refused(&["--config-setting", "a"]).contains("KEY=VALUE"));
    assert!(refused(&["--cross-cc", "/nowhere/gcc -g"]).contains("the cross compiler `/nowhere/gcc` cannot"));
    assert!(Path::new(&bench.sdist).exists());
}

#[test]
fn a_pipe_is_no_sdist() {
    let bench = Bench::with_body("");
    fs_err::remove_file(&bench.sdist).unwrap();
    nix::unistd::mkfifo(&bench.sdist, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let output = bench.build(&[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a regular file"), "{output:?}");
}

#[test]
fn a_directory_or_a_giant_in_the_place_of_metadata_is_the_projects_fault() {
    let giant = format!("# {}", "x".repeat(5 << 20));
    let bench = Bench::with_files(&[("pyproject.toml", &giant), ("backend.py", "")]);
    assert_eq!(bench.failure(14, &[])["class"], "invalid-metadata");
    let bench = Bench::with_files(&[("PKG-INFO/x", ""), ("pyproject.toml", PYPROJECT)]);
    assert_eq!(bench.failure(14, &[])["class"], "invalid-metadata");
}

#[test]
fn the_longest_timeout_is_one() {
    Bench::with_body("").report(&["--timeout", &u64::MAX.to_string()]);
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
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    command.arg("--work-dir=../w");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        bench.wheel_member(&json(&output)["built"], "demo.py"),
        bench.path("tools/tool").display().to_string()
    );
}

#[test]
fn nobody_who_reads_is_no_reason_to_fail() {
    let bench = Bench::with_body("print('from the backend')");
    for closed in ["stdout", "stderr", "both"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = bench.command();
        if closed != "stderr" {
            command.stdout(writer.try_clone().unwrap());
        }
        if closed != "stdout" {
            command.stderr(writer);
        }
        assert_eq!(command.status().unwrap().code(), Some(0), "{closed}");
        assert_eq!(command.arg("--build-wheels=absent").status().unwrap().code(), Some(2), "{closed}");
    }
}

#[test]
fn a_signal_ends_what_does_not_notice_it() {
    let bench = Bench::with_body("");
    let script = bench.path("python");
    fs_err::write(&script, "#!/bin/sh\ntrap '' TERM\necho > \"$0.started\"\nwhile :; do sleep 1; done\n")
        .unwrap();
    fs_err::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut child = bench.command().arg("--python").arg(&script).process_group(0).spawn().unwrap();
    wait_until(|| bench.path("python.started").exists());
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    nix::sys::signal::killpg(pid, Signal::SIGKILL).unwrap();
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
fn files_of_the_command_line_that_are_missing_or_broken_are_the_callers_fault() {
    let bench = Bench::with_body("");
    let wheel = bench.path("tool-1.0-py3-none-any.whl");
    fs_err::write(&wheel, "no zip").unwrap();
    assert_eq!(bench.build(&["--build-wheels", wheel.to_str().unwrap()]).status.code(), Some(2));
    fs_err::remove_file(&bench.sdist).unwrap();
    assert_eq!(bench.build(&[]).status.code(), Some(2));
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

/// A signal may arrive between the start of the backend and the moment somebody could kill it.
#[test]
fn a_build_cancelled_before_its_backend_is_known_is_killed_all_the_same() {
    use crosswheel::sandbox::{Mode, RootFileSystem, Sandbox, Spec};
    let sandbox = Sandbox::detect(Mode::Auto, env!("CARGO_BIN_EXE_crosswheel").into()).unwrap();
    let null = fs_err::File::options().write(true).open("/dev/null").unwrap().into_parts().0;
    let tree = sandbox
        .spawn(Spec {
            argv: vec!["/bin/sleep".into(), "1000000".into()],
            env: Default::default(),
            working_directory: "/".into(),
            binds: Vec::new(),
            root: RootFileSystem::Host,
            overlays: Vec::new(),
            visible_host_paths: Vec::new(),
            stdin: None,
            stdout: null.into(),
            stderr: None,
            network: false,
        })
        .unwrap();
    let cancellation = crosswheel::sandbox::Cancellation::default();
    cancellation.cancel();
    cancellation.watch(tree.killer());
    assert!(tree.wait(None).unwrap().killed);
    assert!(cancellation.check().is_err());
}

/// An action that was placed on a machine of another architecture has to fail there, whatever the wheel would be.
#[test]
fn a_machine_that_is_not_the_targets_builds_nothing() {
    let bench = Bench::with_body("pass");
    let other = if cfg!(target_arch = "x86_64") { "linux_arm64" } else { "linux_amd64" };
    for expect in ["auto", "any", "pure"] {
        let failure = bench.failure(19, &["--target", other, "--expect", expect]);
        assert_eq!(failure["class"], "wheel-refused");
        let message = failure["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("the wheel must be for {other}, but Python at ")), "{message}");
        assert!(failure["hint"].as_str().unwrap().contains("execution platform"), "{failure}");
    }
}

#[test]
fn what_is_not_what_was_promised_is_refused() {
    let bench = Bench::with_body("");
    let python = bench.report(&[])["python_version"].as_str().unwrap().to_owned();
    let minor = python.rsplit_once('.').unwrap().0;
    fs_err::remove_dir_all(bench.path("out")).unwrap();
    for (argument, problem) in [
        ("--expect-name=other", "the sdist has the name `demo`, but `other` was asked for"),
        ("--expect-version=2.0", "the sdist has the version `1.0`, but `2.0` was asked for"),
        ("--expect-python=3.1", "the wheel must be for Python 3.1, but "),
        ("--expect-libc=musl", "the wheel must be for systems with musl, but "),
    ] {
        let failure = bench.failure(19, &[argument]);
        assert_eq!(failure["class"], "wheel-refused");
        assert!(failure["message"].as_str().unwrap().contains(problem), "{failure}");
    }
    let promises = [
        "--expect-name=DEMO",
        "--expect-version=1",
        "--expect-libc=glibc",
        &format!("--expect-python={minor}"),
    ];
    bench.report(&promises);
}

/// Nothing of the sdist says what it is, so only the wheel can.
#[test]
fn a_project_that_nobody_knew_before_the_build_is_refused_then() {
    let backend = BACKEND.replace("BODY", "");
    let bench = Bench::with_files(&[("pyproject.toml", PYPROJECT), ("backend.py", &backend)]);
    let failure = bench.failure(19, &["--expect-name=other"]);
    assert!(failure["message"].as_str().unwrap().contains("the name `demo`"), "{failure}");
    let failure = bench.failure(19, &["--expect-version=1.1"]);
    assert!(failure["message"].as_str().unwrap().contains("the version `1.0`"), "{failure}");
    bench.report(&["--expect-name=demo", "--expect-version=1.0"]);
}

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
        let output = command.env("CROSSWHEEL_CACHE_DIR", bench.path("cache")).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output
    };
    let report = format!("--report={}", bench.path("report.json").display());
    let silent = wheel(&["--quiet", &report]);
    assert_eq!((silent.stdout, silent.stderr), (Vec::new(), Vec::new()));
    assert!(!wheel(&["--quiet"]).stdout.is_empty());
    assert!(!wheel(&[&report]).stdout.is_empty());
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
    let outcome: crosswheel::sdist::report::Outcome = serde_json::from_value(older).unwrap();
    let crosswheel::sdist::report::Outcome::Built(report) = outcome else { panic!() };
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
        assert!(shell.status().unwrap().success());
    }
    let program = tools.join("cross-gcc").display().to_string();
    let command = format!("'{program}' -DCROSS");
    let run = |more: &[&str]| {
        let output = bench.command().args(more).env("CROSSWHEEL_CROSS_CC", &command).output().unwrap();
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
    let output =
        command_line.arg(&command).env("CROSSWHEEL_CACHE_DIR", bench.path("cache")).output().unwrap();
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(notes.contains(&format!("note: the C compiler was cross: {program} (")), "{notes}");
}
