//! What a command sees as `/`.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crosswheel::sandbox::{RootFileSystem, SandboxError, SetUpCause, SetUpFailure};
use tempfile::TempDir;

use super::running::{full, sh};
use crate::support::waiting::InTime;

#[test]
fn only_the_chosen_directories_of_the_host_are_visible() {
    let output = sh("ls /; ls /etc | wc -l; ls /proc/self/status; touch /usr/x 2>&1")
        .with(|spec| spec.root = RootFileSystem::HostDirectories(vec!["/usr".into()]))
        .run(&full());
    let lines: Vec<&str> = output.1.lines().collect();
    for there in ["bin", "dev", "proc", "tmp", "usr", "/proc/self/status"] {
        assert!(lines.contains(&there), "{there}: {lines:?}");
    }
    for hidden in ["etc", "home", "root", "var", ".crosswheel-host"] {
        assert!(!lines.contains(&hidden), "{hidden}: {lines:?}");
    }
    assert!(output.1.contains("Read-only file system"), "{}", output.1);
}

/// A root file system with a shell and a few programs of the host in it.
pub fn foreign_root() -> TempDir {
    foreign_root_with(&[])
}

/// The same with more programs.
pub fn foreign_root_with(programs: &[&str]) -> TempDir {
    let root = TempDir::new().unwrap();
    let copy = |file: &Path| {
        let real = fs_err::canonicalize(file).unwrap();
        let place = root.path().join(file.strip_prefix("/").unwrap());
        fs_err::create_dir_all(place.parent().unwrap()).unwrap();
        fs_err::copy(real, place).unwrap();
    };
    for program in ["/bin/sh", "/bin/cat", "/bin/ls", "/bin/touch"].iter().chain(programs) {
        copy(Path::new(program));
        let libraries = Command::new("ldd").arg(program).output_in_time().stdout;
        for word in String::from_utf8(libraries).unwrap().split_whitespace() {
            if word.starts_with('/') {
                copy(Path::new(word));
            }
        }
    }
    fs_err::create_dir(root.path().join("etc")).unwrap();
    fs_err::write(root.path().join("etc/name"), "another\n").unwrap();
    symlink("etc", root.path().join("settings")).unwrap();
    root
}

#[test]
fn a_foreign_root_is_all_there_is_and_is_not_written_to() {
    let root = foreign_root();
    let before = fs_err::read_dir(root.path()).unwrap().count();
    let script =
        "cat /settings/name; ls /; touch /etc/x; touch /x; touch /tmp/x && ls /tmp; ls /proc/self/status";
    let (_, output) = sh(script)
        .with(|spec| {
            spec.root = RootFileSystem::Directory(root.path().into());
            spec.stderr = None;
        })
        .run(&full());
    assert!(output.starts_with("another\n"), "{output}");
    for there in ["\ndev\n", "\nproc\n", "\ntmp\n", "\nx\n", "/proc/self/status\n"] {
        assert!(output.contains(there), "{there}: {output}");
    }
    assert_eq!(output.matches("Read-only file system").count(), 2, "{output}");
    assert_eq!(fs_err::read_dir(root.path()).unwrap().count(), before);
}

#[test]
fn a_place_missing_at_the_top_of_a_foreign_root_is_made_and_one_further_below_is_refused() {
    let root = foreign_root();
    let directory = TempDir::new().unwrap();
    fs_err::write(directory.path().join("file"), "text").unwrap();
    let with = |inside: &str| {
        let inside = inside.to_owned();
        let (root, host) = (root.path().to_owned(), directory.path().to_owned());
        sh("cat $PLACE/file").with(move |spec| {
            spec.root = RootFileSystem::Directory(root);
            spec.env.insert("PLACE".into(), inside.clone().into());
            spec.binds.push(crosswheel::sandbox::Bind { host, inside: inside.into(), writable: true });
        })
    };
    assert_eq!(with("/new/place").output(&full()), "text");
    let error = with("/etc/new/place").start(&full()).err().unwrap();
    match error {
        SandboxError::SetUp(SetUpFailure { step, cause }) => {
            assert!(step.to_string().contains("/etc/new/place"), "{step}: {cause}");
            assert_eq!(cause, SetUpCause::Errno(libc::EROFS), "{step}: {cause}");
        }
        other => panic!("{other}"),
    }
}
