//! What is refused, whose fault it is, and how it is said.

use std::path::Path;

use super::scene::*;

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
    rustix::fs::mkfifoat(rustix::fs::CWD, &bench.sdist, rustix::fs::Mode::RWXU).unwrap();
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
fn files_of_the_command_line_that_are_missing_or_broken_are_the_callers_fault() {
    let bench = Bench::with_body("");
    let wheel = bench.path("tool-1.0-py3-none-any.whl");
    fs_err::write(&wheel, "no zip").unwrap();
    assert_eq!(bench.build(&["--build-wheels", wheel.to_str().unwrap()]).status.code(), Some(2));
    fs_err::remove_file(&bench.sdist).unwrap();
    assert_eq!(bench.build(&[]).status.code(), Some(2));
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
    crosswheel::scratch::removal::remove(bench.path("out")).unwrap();
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
