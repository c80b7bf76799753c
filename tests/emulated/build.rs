//! `crosswheel build` for two targets on one machine, in earnest: Python and the compiler of arm64 run emulated, in a
//! Debian root file system. Fetches sdists and build requirements from PyPI.

use std::io::Read;
use std::path::Path;
use std::process::Command;

use crosswheel::rootfs::RootfsPlatform;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::arm64_root::root;
use crate::support::packages::Project;
use crate::support::waiting::{InTime, LONG_DEADLINE};

const HOST: &str = "linux_amd64";
const OTHER: &str = "linux_arm64";

/// A Python of that root file system, as in `3.11`; there must be one of this version here, too.
fn python() -> String {
    let platform = RootfsPlatform::of(root(), &[]).unwrap();
    format!("3.{}", platform.python_minors.last().expect("a Python in the root file system"))
}

/// The results of `crosswheel build --json` in `place`, which must end with `code`.
#[track_caller]
fn build(place: &TempDir, out: &str, arguments: &[&str], code: i32) -> Vec<Value> {
    let rootfs = format!("{OTHER}={}", root().display());
    let output = Command::new(env!("CARGO_BIN_EXE_crosswheel"))
        .args(["build", "--json", "--python", &python(), "--cache-dir"])
        .arg(place.path().join("cache"))
        .arg("--out")
        .arg(place.path().join(out))
        .args(arguments)
        .env("CROSSWHEEL_ROOTFS", &rootfs)
        .output_within(LONG_DEADLINE);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{stdout}\n{stderr}");
    let document: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"));
    document["results"].as_array().unwrap().clone()
}

fn each(results: &[Value], key: &str) -> Vec<String> {
    results.iter().map(|result| result[key].as_str().unwrap_or_default().to_owned()).collect()
}

/// `e_machine` of each ELF file in a wheel.
fn machines(wheel: &Path) -> Vec<u16> {
    let mut archive = zip::ZipArchive::new(fs_err::File::open(wheel).unwrap()).unwrap();
    let mut found = Vec::new();
    for index in 0..archive.len() {
        let mut bytes = Vec::new();
        archive.by_index(index).unwrap().read_to_end(&mut bytes).unwrap();
        if bytes.starts_with(b"\x7fELF") {
            found.push(u16::from_le_bytes([bytes[18], bytes[19]]));
        }
    }
    found
}

#[test]
fn what_is_pure_is_built_once_and_what_is_not_for_each_target() {
    let place = tempfile::tempdir().unwrap();
    let lock = place.path().join("crosswheel.lock").to_str().unwrap().to_owned();
    let sources = ["cowsay==6.0", "markupsafe==2.1.5"];
    let both = [&sources[..], &["--target", OTHER, "--target", HOST, "--lock", &lock]].concat();
    let results = build(&place, "both", &both, 0);
    assert_eq!(each(&results, "source"), ["cowsay==6.0", "cowsay==6.0", sources[1], sources[1]]);
    assert_eq!(each(&results, "target"), [OTHER, HOST, OTHER, HOST]);
    assert_eq!(each(&results, "status"), ["shared", "built", "built", "built"]);
    assert_eq!(each(&results, "shared_from"), [HOST, "", "", ""]);
    assert_eq!(results[0]["wheel"], results[1]["wheel"]);
    let cpython = format!("cp{}", python().replace('.', ""));
    for (result, emulated, machine, elf) in
        [(&results[2], true, "aarch64", 183), (&results[3], false, "x86_64", 62)]
    {
        assert_eq!(result["report"]["emulated"], emulated);
        let tag = format!("{cpython}-{cpython}-linux_{machine}");
        assert_eq!(result["report"]["tags"], serde_json::json!([tag]));
        assert_eq!(machines(Path::new(result["wheel"].as_str().unwrap())), [elf]);
    }
    // The requirements of both are in the lock.
    let text = fs_err::read_to_string(&lock).unwrap();
    assert!(
        text.contains(&format!("target = \"{HOST}\"")) && text.contains(&format!("target = \"{OTHER}\""))
    );
    // Alone, the same bytes.
    let alone = build(&place, "alone", &[&sources[..], &["--rebuild"]].concat(), 0);
    for (alone, both) in [(&alone[0], &results[1]), (&alone[1], &results[3])] {
        assert_eq!(alone["report"]["sha256"], both["report"]["sha256"]);
    }
    // And what one target shared can be built for it alone.
    let shared = [sources[0], "--target", OTHER, "--lock", &lock];
    assert_eq!(each(&build(&place, "shared", &shared, 0), "status"), ["built"]);
    let again = build(&place, "both", &both, 0);
    assert_eq!(each(&again, "status"), ["shared", "cached", "cached", "cached"]);
}

#[test]
fn a_pure_wheel_of_a_project_with_native_sources_is_built_for_each_target() {
    let place = tempfile::tempdir().unwrap();
    let project = Project { name: "falls-back", version: "1.0", native_source: true, ..Project::default() };
    let sdist = place.path().join(project.file_name());
    fs_err::write(&sdist, project.sdist()).unwrap();
    let arguments = [sdist.to_str().unwrap(), "--no-index", "--target", HOST, "--target", OTHER];
    let results = build(&place, "dist", &arguments, 0);
    assert_eq!(each(&results, "status"), ["built", "built"]);
    assert_eq!(results[1]["report"]["emulated"], true);
    // Its backend makes the same of it everywhere, so both wheels can have the name.
    assert_eq!(results[0]["report"]["sha256"], results[1]["report"]["sha256"]);
    // Whoever wants native code must have it for each.
    let refused = build(&place, "dist", &[&arguments[..], &["--expect", "native"]].concat(), 19);
    assert_eq!(each(&refused, "status"), ["failed", "failed"]);
}

#[test]
fn what_looks_at_the_machine_is_built_for_each_target_and_must_come_out_the_same() {
    let place = tempfile::tempdir().unwrap();
    let sdist = |project: Project| {
        let sdist = place.path().join(project.file_name());
        fs_err::write(&sdist, project.sdist()).unwrap();
        sdist.to_str().unwrap().to_owned()
    };
    let looks =
        sdist(Project { name: "looks", version: "1.0", looks_at_machine: true, ..Project::default() });
    let plain = sdist(Project { name: "plain", version: "1.0", ..Project::default() });
    let targets = ["--no-index", "--target", HOST, "--target", OTHER];
    let results = build(&place, "dist", &[&[looks.as_str(), &plain], &targets[..]].concat(), 19);
    assert_eq!(each(&results, "status"), ["built", "failed", "built", "shared"]);
    let message = results[1]["failure"]["message"].as_str().unwrap();
    assert!(message.contains("nothing in its name tells them apart"), "{message}");
    // Whoever wants to be sure.
    let all = [&[plain.as_str(), "--no-share"], &targets[..]].concat();
    let results = build(&place, "dist", &all, 0);
    assert_eq!(each(&results, "status"), ["cached", "built"]);
    assert_eq!(results[0]["report"]["sha256"], results[1]["report"]["sha256"]);
}

#[test]
fn requirements_that_exist_only_as_sdists_are_built_for_the_target() {
    let place = tempfile::tempdir().unwrap();
    // From now on there is an uv, for which an index may be needed.
    build(&place, "dist", &["cowsay==6.0"], 0);
    let there = "tool; platform_machine == 'aarch64'";
    let tool = Project { name: "tool", version: "1.0", ..Project::default() };
    let app = Project {
        name: "app",
        version: "1.0",
        requires: &[there, "absent; platform_machine == 'riscv64'"],
        imports: &["tool"],
        ..Project::default()
    };
    let links = place.path().join("links");
    fs_err::create_dir(&links).unwrap();
    fs_err::write(links.join(tool.file_name()), tool.sdist()).unwrap();
    let sdist = place.path().join(app.file_name());
    fs_err::write(&sdist, app.sdist()).unwrap();
    let links = links.to_str().unwrap();
    let arguments = [sdist.to_str().unwrap(), "--no-index", "--find-links", links, "--target", OTHER];
    let results = build(&place, "dist", &arguments, 0);
    let report = &results[0]["report"];
    assert_eq!((&report["emulated"], &report["target"]), (&Value::from(true), &Value::from(OTHER)));
    assert_eq!(report["build_requirements"][0]["file_name"], "tool-1.0-py3-none-any.whl");
}

#[test]
fn the_cross_compiler_of_this_machine_makes_another_build_of_it() {
    let place = tempfile::tempdir().unwrap();
    let arguments = ["setproctitle==1.3.2", "--target", OTHER, "--cross-cc"];
    let results = build(&place, "dist", &arguments, 0);
    let report = &results[0]["report"];
    assert_eq!((&report["emulated"], &report["compiler"]["kind"]), (&true.into(), &"cross".into()));
    assert_eq!(machines(Path::new(results[0]["wheel"].as_str().unwrap())), [183]);
    assert_eq!(each(&build(&place, "dist", &arguments, 0), "status"), ["cached"]);
    // A compiler that there is not fails that target, and no other.
    let missing = ["setproctitle==1.3.2", "--target", OTHER, "--target", HOST, "--cross-cc=no-such-gcc"];
    let results = build(&place, "dist", &missing, 25);
    assert_eq!(each(&results, "status"), ["failed", "built"]);
    assert!(results[0]["failure"]["message"].as_str().unwrap().contains("no-such-gcc"), "{}", results[0]);
}
