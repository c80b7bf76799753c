//! Several targets, and root file systems in which builds run.

use serde_json::Value;

use super::build::{APP, index_with_app};
use super::root::root_with_python;
use super::run::{PYTHON, Place};
use crate::support::packages::Project;

/// The target of this machine, and another.
fn targets() -> (&'static str, &'static str) {
    match std::env::consts::ARCH {
        "aarch64" => ("linux_arm64", "linux_amd64"),
        _ => ("linux_amd64", "linux_arm64"),
    }
}

/// A value of each result.
fn each(document: &Value, key: &str) -> Vec<Value> {
    document["results"].as_array().unwrap().iter().map(|result| result[key].clone()).collect()
}

#[test]
fn a_target_that_nothing_here_builds_for_fails_alone_and_says_what_to_do() {
    let (server, place) = (index_with_app(), Place::new());
    let (host, other) = targets();
    let more = Project { name: "more", ..APP };
    let more = place.write(&more.file_name(), more.sdist());
    let index = server.index();
    let arguments = ["app==1.0", &more, "--index-url", &index, "--target", other, "--target", host];
    let run = place.build(&[&arguments[..], &["--target", other, "--json"]].concat()).ended(25);
    let document = run.json();
    assert_eq!(each(&document, "source"), ["app==1.0", "app==1.0", &more, &more]);
    assert_eq!(each(&document, "target"), [other, host, other, host]);
    assert_eq!(each(&document, "status"), ["failed", "built", "failed", "built"]);
    let hint = document["results"][0]["failure"]["hint"].as_str().unwrap();
    let root = place.text(&format!("cache/rootfs/{other}"));
    let arch = other.strip_prefix("linux_").unwrap();
    assert!(hint.contains(&format!("crosswheel rootfs create --arch {arch} {root}")), "{hint}");
    assert_eq!(place.wheels(), [APP.wheel_name(), "more-1.0-py3-none-any.whl".into()]);
    // Fetched once, for both.
    let sdist = format!("/files/{}", APP.file_name());
    assert_eq!(server.requests().iter().filter(|request| request.path == sdist).count(), 1);
    let run = place.build(&arguments).ended(25);
    run.says(&format!("cached  {host}  app-1.0-py3-none-any.whl"))
        .says(&format!("failed  {other}  app==1.0"));
}

#[test]
fn a_root_file_system_of_another_platform_is_refused() {
    let (server, mut place) = (index_with_app(), Place::new());
    let (host, other) = targets();
    let index = server.index();
    let root = format!("{other}=/");
    let arguments = ["app==1.0", "--index-url", &index, "--target", other];
    let run = place.build(&[&arguments[..], &["--rootfs", &root]].concat()).ended(2);
    run.says(&format!("the root file system at / is one of {host}"));
    // From the environment, beside one that is not asked for.
    place.set("CROSSWHEEL_ROOTFS", &format!("{root};{host}=/no/such/directory"));
    place.build(&arguments).ended(2).says(&format!("--rootfs {other}: "));
    let run = place.build(&["app==1.0", "--index-url", &index, "--rootfs", &format!("{host}=/")]).ended(2);
    run.says("/ is what builds without one see").says("leave out --rootfs");
    for (rootfs, says) in [
        ("linux_riscv=/", "unknown target"),
        (other, "is not of the form TARGET=DIR"),
        (&format!("{root};{root}"), "names two root file systems"),
    ] {
        let run = place.build(&[&arguments[..], &["--rootfs", rootfs]].concat()).ended(2);
        assert!(run.stderr.contains(says), "{}", run.stderr);
    }
}

#[test]
fn what_is_said_of_builds_that_there_are_none_of_is_refused() {
    let (server, mut place) = (index_with_app(), Place::new());
    let (host, other) = targets();
    let index = server.index();
    let arguments = ["app==1.0", "--index-url", &index];
    let rootfs = format!("{other}=/no/such/root");
    let run = place.build(&[&arguments[..], &["--rootfs", &rootfs]].concat()).ended(2);
    assert!(run.stderr.contains(&format!("nothing is built for {other}")), "{}", run.stderr);
    assert!(run.stderr.contains(&format!("add --target {other}")), "{}", run.stderr);
    let run = place.build(&[&arguments[..], &["--cross-cc=no-such-gcc", "--target", host]].concat()).ended(2);
    assert!(run.stderr.contains("--cross-cc is for emulated builds"), "{}", run.stderr);
    let remote = ["--remote", "grpc://127.0.0.1:9", "--target", other, "--rootfs", &rootfs];
    let run = place.build(&[&arguments[..], &remote].concat()).ended(2);
    assert!(run.stderr.contains("--remote builds elsewhere"), "{}", run.stderr);
    // The variable is for whichever run needs it.
    place.set("CROSSWHEEL_ROOTFS", &rootfs);
    place.build(&arguments).ended(0).says("built   app-1.0");
    // The flag is not, even if it says the same.
    let run = place.build(&[&arguments[..], &["--rootfs", &rootfs]].concat()).ended(2);
    assert!(run.stderr.contains(&format!("nothing is built for {other}")), "{}", run.stderr);
}

#[test]
fn in_a_root_file_system_the_python_in_there_is_asked_and_builds() {
    let (server, mut place) = (index_with_app(), Place::new());
    let (host, _) = targets();
    let (_directory, root) = root_with_python();
    let rootfs = format!("{host}={}", root.display());
    let index = server.index();
    place.python("3");
    let arguments = ["app==1.0", "--index-url", &index, "--rootfs", &rootfs];
    let run = place.build(&arguments).ended(0).says("built   app-1.0");
    assert!(run.stderr.contains(&format!("asking python3 of {host} about itself")), "{}", run.stderr);
    let wheel = fs_err::read(place.path("dist").join(APP.wheel_name())).unwrap();
    place.build(&arguments).ended(0).says("cached  app-1.0");
    // It is another action than the one that uses this machine's Python, and the same wheel.
    place.build(&arguments[..3]).ended(0).says("built   app-1.0");
    assert_eq!(fs_err::read(place.path("dist").join(APP.wheel_name())).unwrap(), wheel);
    // Something was installed in there.
    fs_err::create_dir_all(root.join("var/lib/dpkg")).unwrap();
    fs_err::write(root.join("var/lib/dpkg/status"), "Package: gcc\n").unwrap();
    place.build(&arguments).ended(0).says("built   app-1.0");
    // What is of this machine is not in there.
    let run = place.build(&[&arguments[..], &["--path", &place.text("bin")]].concat()).ended(2);
    run.says("is a directory of this machine, and the build for").says("install the tools in there");
    let run = place.build(&[&arguments[..], &["--sandbox", "off"]].concat()).ended(2);
    run.says("leave out --sandbox off");
}

#[test]
fn a_python_that_a_root_file_system_lacks_is_named() {
    let (server, mut place) = (index_with_app(), Place::new());
    let (host, _) = targets();
    let (_directory, root) = root_with_python();
    place.python("3.99");
    let rootfs = format!("{host}={}", root.display());
    let arguments = ["app==1.0", "--index-url", &server.index(), "--rootfs", &rootfs];
    let run = place.build(&arguments).ended(2).says("there is no python3.99").says("install it in there");
    run.says(&format!("in {} ({host})", root.display()));
}

#[test]
fn requirements_follow_the_markers_of_the_target() {
    let (server, mut place) = (index_with_app(), Place::new());
    let (host, _) = targets();
    let (_directory, root) = root_with_python();
    place.python("3");
    let here = format!("tool; platform_machine == \"{}\"", std::env::consts::ARCH);
    let elsewhere = "nowhere; platform_machine == \"riscv64\"";
    let project = Project { name: "marked", requires: &[&here, elsewhere], ..APP };
    let sdist = place.write(&project.file_name(), project.sdist());
    let rootfs = format!("{host}={}", root.display());
    for extra in [&["--rootfs", &rootfs][..], &[]] {
        let arguments = [&sdist, "--index-url", &server.index(), "--json"];
        let run = place.build(&[&arguments[..], extra].concat()).ended(0);
        let used = &run.json()["results"][0]["report"]["build_requirements"];
        assert_eq!(used[0]["name"], "tool");
        assert_eq!(used.as_array().unwrap().len(), 1);
    }
}

#[test]
fn a_python_that_becomes_another_builds_anew() {
    let (server, mut place) = (index_with_app(), Place::new());
    let (host, _) = targets();
    let (_directory, root) = root_with_python();
    let python = fs_err::canonicalize(&*PYTHON).unwrap();
    let copy = |name: &&str| {
        let place = root.join("opt").join(name).join("bin");
        fs_err::create_dir_all(&place).unwrap();
        fs_err::copy(&python, place.join("python")).unwrap();
    };
    let link = |target: &str, name: &str| {
        let _ = fs_err::remove_file(root.join(name));
        std::os::unix::fs::symlink(target, root.join(name)).unwrap();
    };
    ["one", "two"].iter().for_each(copy);
    link("one", "opt/current");
    place.python("/opt/current/bin/python");
    let rootfs = format!("{host}={}", root.display());
    let arguments = ["app==1.0", "--index-url", &server.index(), "--target", host, "--rootfs", &rootfs];
    place.build(&arguments).ended(0).says("built   app-1.0");
    place.build(&arguments).ended(0).says("cached  app-1.0");
    link("two", "opt/current");
    place.build(&arguments).ended(0).says("built   app-1.0");
    place.build(&arguments).ended(0).says("cached  app-1.0");
    // Whatever a script starts is known to the script alone, until it is asked again.
    let script = root.join("opt/python");
    fs_err::write(&script, "#!/bin/sh\nexec /opt/current/bin/python \"$@\"\n").unwrap();
    fs_err::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    place.python("/opt/python");
    place.build(&arguments).ended(0).says("cached  app-1.0");
    fs_err::remove_file(root.join("opt/current")).unwrap();
    place.build(&arguments).ended(0).says("cached  app-1.0");
    place.build(&[&arguments[..], &["--rebuild"]].concat()).ended(2).says("there is no /opt/python");
}

#[test]
fn whatever_people_call_a_target_results_have_its_own_name() {
    let (server, place) = (index_with_app(), Place::new());
    let (host, _) = targets();
    let machine = std::env::consts::ARCH;
    let index = server.index();
    let build = |names: &[&str]| {
        let flags: Vec<_> = names.iter().flat_map(|name| ["--target", name]).collect();
        place.build(&[&["app==1.0", "--index-url", &index, "--json"], &flags[..]].concat())
    };
    let (docker, triple) = (host.replace('_', "/"), format!("{machine}-unknown-linux-gnu"));
    let document = build(&[machine, &docker, &triple, host]).ended(0).json();
    assert_eq!(each(&document, "target"), [host]);
    // The glibc in a name is the one that the step is told.
    let old = format!("manylinux_2_17_{machine}");
    let document = build(&[&old]).ended(0).json();
    assert_eq!(
        (each(&document, "target"), each(&document, "status")),
        (vec![host.into()], vec!["built".into()])
    );
    let run = place.build(&["app==1.0", "--index-url", &index, "--target", &old, "--glibc", "2.28"]).ended(2);
    assert!(run.stderr.contains("--glibc says 2.28 for all targets"), "{}", run.stderr);
    for (name, says) in
        [("linux_arm46", "did you mean `linux_arm64`?"), ("musllinux_1_2_x86_64", "with musl")]
    {
        let run = build(&[name]).ended(2);
        assert!(run.stderr.contains(says), "{}", run.stderr);
    }
}
