//! What becomes of commands that cannot be started, and of those that are hard to hand over.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crosswheel::contract::SandboxMode;
use crosswheel::sandbox::{Bind, Outcome, ProgramFault, Sandbox, SandboxError};

use super::running::{CROSSWHEEL, command, end_of, full, plain, python, sh};
use crate::support::processes::processes_with;

fn fault(sandbox: &Sandbox, program: &Path) -> ProgramFault {
    let prepared =
        command([program]).with(|spec| spec.visible_host_paths = vec![program.parent().unwrap().into()]);
    match prepared.start(sandbox).map(|_| ()) {
        Err(SandboxError::Program { program: named, fault }) => {
            assert_eq!(named, program);
            fault
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_program_that_cannot_be_started_is_an_error_that_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let make = |name: &str, content: &[u8], mode| {
        let path = directory.path().join(name);
        fs_err::write(&path, content).unwrap();
        fs_err::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    };
    let not_executable = make("not-executable", b"#!/bin/sh\n", 0o644);
    let no_interpreter = make("no-interpreter", b"#!/no/such/interpreter\n", 0o755);
    let foreign = make("foreign", b"\x7fELF\x02\x01\x01, and the rest for another machine", 0o755);
    for sandbox in [full(), plain()] {
        assert_eq!(fault(&sandbox, &directory.path().join("missing")), ProgramFault::NotFound);
        assert_eq!(fault(&sandbox, &not_executable), ProgramFault::NotExecutable);
        assert_eq!(fault(&sandbox, directory.path()), ProgramFault::NotExecutable);
        assert_eq!(fault(&sandbox, &no_interpreter), ProgramFault::InterpreterMissing);
        assert_eq!(fault(&sandbox, &foreign), ProgramFault::WrongFormat);
    }
}

#[test]
fn names_are_looked_up_in_the_path_of_the_command_and_nowhere_else() {
    for sandbox in [full(), plain()] {
        command(["true"]).output(&sandbox);
        for path in [None, Some("/no/such/directory:")] {
            let prepared = command(["true"]).with(|spec| {
                spec.env.clear();
                spec.env.extend(path.map(|path| ("PATH".into(), path.into())));
            });
            let error = prepared.start(&sandbox).map(|_| ()).unwrap_err();
            assert!(matches!(error, SandboxError::Program { fault: ProgramFault::NotFound, .. }), "{error}");
        }
    }
}

#[test]
fn a_step_of_the_set_up_that_fails_is_named() {
    let missing_directory = sh("true").with(|spec| spec.working_directory = "/no/such/directory".into());
    let missing_source = sh("true").writable(Path::new("/no/such/source"), "/work");
    let impossible_target = sh("true").writable(Path::new("/etc"), "/usr/no/such/mount/point");
    let cases = [
        (missing_directory, "working directory \"/no/such/directory\""),
        (missing_source, "/no/such/source"),
        (impossible_target, "/usr/no/such/mount/point"),
    ];
    let sandbox = full();
    for (prepared, named) in cases {
        match prepared.start(&sandbox).map(|_| ()) {
            Err(SandboxError::SetUp(failure)) => {
                assert!(failure.step.to_string().contains(named), "{failure}")
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn without_namespaces_a_fixed_path_is_refused_and_the_real_one_is_not() {
    let work = tempfile::tempdir().unwrap();
    let error = sh("true").writable(work.path(), "/crosswheel").start(&plain()).map(|_| ()).unwrap_err();
    assert!(matches!(error, SandboxError::NoFixedPath { .. }), "{error}");

    let path = work.path().to_owned();
    let bind = Bind { host: path.clone(), inside: path.clone(), writable: true };
    sh("echo made > result")
        .with(|spec| {
            spec.binds.push(bind);
            spec.working_directory = path;
        })
        .output(&plain());
    assert_eq!(fs_err::read_to_string(work.path().join("result")).unwrap(), "made\n");
}

/// Socket buffers hold about 200 KiB, and the kernel takes 128 KiB per argument.
#[test]
fn a_megabyte_of_environment_and_any_bytes_arrive() {
    let odd = OsString::from_vec((1..=255).collect());
    for sandbox in [full(), plain()] {
        let prepared = sh("env | wc -c; printf %s \"$1\" | od -An -tu1").with(|spec| {
            spec.argv.extend(["sh".into(), odd.clone()]);
            for number in 0..10 {
                spec.env.insert(format!("BIG{number}").into(), "x".repeat(100_000).into());
            }
        });
        let output = prepared.output(&sandbox);
        let mut numbers = output.split_ascii_whitespace().map(|number| number.parse::<u32>().unwrap());
        assert!(numbers.next().unwrap() > 1_000_000);
        assert!(numbers.eq(1..=255));
    }
}

#[test]
fn a_prepared_sandbox_runs_its_command_with_what_was_asked_for_later() {
    for mode in [SandboxMode::Required, SandboxMode::Off] {
        let prepared = Sandbox::prepare(mode, CROSSWHEEL.into(), &[]).unwrap();
        let work = tempfile::tempdir().unwrap();
        let inside = if mode == SandboxMode::Off { work.path() } else { Path::new("/crosswheel") };
        let command = sh(&format!("echo made > {}/result", inside.display()))
            .writable(work.path(), inside.to_str().unwrap());
        let exit = end_of(prepared.spawn(command.spec).unwrap()).unwrap();
        assert_eq!(exit.outcome, Outcome::Code(0));
        assert_eq!(fs_err::read_to_string(work.path().join("result")).unwrap(), "made\n");
    }
}

#[test]
fn a_command_that_may_use_the_network_does_not_run_in_what_was_prepared_without() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let connect = format!(
        "import socket; socket.create_connection(('127.0.0.1', {}))",
        listener.local_addr().unwrap().port()
    );
    for mode in [SandboxMode::Required, SandboxMode::Off] {
        for network in [true, false] {
            let prepared = Sandbox::prepare(mode, CROSSWHEEL.into(), &[]).unwrap();
            let command = python(&connect, "").with(|spec| spec.network = network);
            let exit = end_of(prepared.spawn(command.spec).unwrap()).unwrap();
            assert_eq!(exit.outcome == Outcome::Code(0), network, "{mode}");
        }
    }
}

/// Process 1 of its namespaces has nothing to kill, but must not stay either.
#[test]
fn a_prepared_sandbox_that_is_dropped_leaves_nothing_running() {
    for mode in [SandboxMode::Required, SandboxMode::Off] {
        let directory = tempfile::tempdir().unwrap();
        // A name of its own tells its processes from those of other tests.
        let init = directory.path().join("crosswheel");
        fs_err::os::unix::fs::symlink(CROSSWHEEL, &init).unwrap();
        let prepared = Sandbox::prepare(mode, init.clone().into(), &[]).unwrap();
        assert_ne!(processes_with(init.to_str().unwrap()).len(), 0);
        drop(prepared);
        assert_eq!(processes_with(init.to_str().unwrap()).len(), 0);
    }
}
