//! Pools that could run no action, or would run them as something else than they are called.

use std::path::Path;

use crosswheel::platform::Arch;

use crate::support::server::{Server, serve_command};
use crate::support::waiting::InTime;

/// Exit code and words of a server that must not start.
fn refused(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = serve_command(&["--listen", "127.0.0.1:0", "--http-listen", "off"])
        .arg("--store")
        .arg(directory.join("store"))
        .args(arguments)
        .output_in_time();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// A root file system with one program, of this machine.
fn native_root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs_err::create_dir(root.path().join("bin")).unwrap();
    fs_err::copy("/bin/true", root.path().join("bin/sh")).unwrap();
    root
}

#[test]
fn a_pool_that_could_run_nothing_or_is_called_wrong_is_no_setting() {
    let (directory, root) = (tempfile::tempdir().unwrap(), native_root());
    let (own, other) = (Arch::host(), Arch::host().other());
    let store = directory.path().join("store");
    let link = directory.path().join("link");
    std::os::unix::fs::symlink("/", &link).unwrap();
    fs_err::write(directory.path().join("file"), "").unwrap();
    fs_err::create_dir(directory.path().join("empty")).unwrap();
    let at = |path: &Path| format!("a={}", path.display());
    let below = |name: &str| at(&directory.path().join(name));
    let root = root.path().display();
    for (pool, problems) in [
        // Of this host.
        (format!("{}=/", own.property()), ["of this host itself", "leave out `=/`"]),
        ("a=/usr/..".to_owned(), ["of this host itself", "leave out"]),
        (at(&link), ["of this host itself", "leave out"]),
        ("a,host-directory=/,Arch=*".to_owned(), ["no action could see", "whole root"]),
        ("a,host-directory=/tmp,Arch=*".to_owned(), ["no action could see", "\"/tmp\""]),
        // No root at all.
        (below("none"), ["nothing at that path", "crosswheel rootfs"]),
        (below("file"), ["no directory", "crosswheel rootfs"]),
        (below("empty"), ["no program", "give the property Arch"]),
        (at(&store), ["own store", "crosswheel rootfs"]),
        // Another architecture.
        (other.property().to_owned(), ["programs of this host", "another name"]),
        (other.machine().to_uppercase(), ["programs of this host", "another name"]),
        ("riscv64".to_owned(), ["programs of this host", "another name"]),
        (format!("{}={root}", other.property()), ["its root file system", "another name"]),
        (format!("a={root},ISA={}", other.machine()), ["offers another architecture", "Offer Arch="]),
        (format!("a,Arch={}", other.property()), ["offers another architecture", "NAME=ROOTFS"]),
    ] {
        let (code, said) = refused(directory.path(), &["--pool", &pool]);
        assert_eq!(code, Some(2), "{pool}: {said}");
        assert!(problems.iter().all(|problem| said.contains(problem)), "{pool}: {said}");
    }
}

#[test]
fn what_only_this_machine_lacks_is_found_at_start_as_well() {
    let (directory, root) = (tempfile::tempdir().unwrap(), native_root());
    let missing = refused(directory.path(), &["--pool", "a,host-directory=/no/such,Arch=*"]);
    assert_eq!(missing.0, Some(1), "{}", missing.1);
    assert!(
        missing.1.contains("its actions could not start") && missing.1.contains("/no/such"),
        "{}",
        missing.1
    );
    // Nothing can be mounted in what it shows there.
    fs_err::create_dir(root.path().join("execroot")).unwrap();
    let taken = refused(directory.path(), &["--pool", &format!("a={}", root.path().display())]);
    assert_eq!(taken.0, Some(1), "{}", taken.1);
    assert!(taken.1.contains("/execroot/_main"), "{}", taken.1);
    let all = refused(directory.path(), &["--sandbox", "off", "--pool", "a,host-directory=/usr"]);
    assert_eq!(all.0, Some(1), "{}", all.1);
    assert!(all.1.contains("all of this host"), "{}", all.1);
}

#[test]
fn a_pool_may_be_called_as_it_is_or_say_what_it_is() {
    let (directory, root) = (tempfile::tempdir().unwrap(), native_root());
    let (own, other) = (Arch::host(), Arch::host().other());
    let root = root.path().display();
    let pools = [
        own.machine().to_owned(),
        format!("{}={root}", own.property()),
        format!("{},Arch={}", other.property(), own.property()),
        format!("climbing={root}/bin/.."),
    ];
    let arguments: Vec<&str> = pools.iter().flat_map(|pool| ["--pool", pool]).collect();
    let server = Server::start(directory.path(), &arguments);
    for pool in server.start["pools"].as_array().unwrap() {
        let offered = pool["properties"].as_array().unwrap();
        let arch = offered.iter().find(|property| property["name"] == "Arch").unwrap();
        assert_eq!(arch["value"], own.property(), "{pool}");
    }
}
