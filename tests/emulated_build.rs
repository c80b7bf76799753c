//! `crosswheel build` for two targets on one machine, in earnest: the other architecture's Python and compiler run
//! emulated, in the root file system that `crosswheel rootfs create` makes (or the one of CROSSWHEEL_ROOTFS).
//! Fetches sdists and build requirements from PyPI.

#[path = "build/packages.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod packages;

use std::io::Read;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use packages::Project;

/// The target of this machine, and another.
fn targets() -> (&'static str, &'static str) {
    match std::env::consts::ARCH {
        "aarch64" => ("linux_arm64", "linux_amd64"),
        _ => ("linux_amd64", "linux_arm64"),
    }
}

fn machine(target: &str) -> &'static str {
    if target == "linux_arm64" { "aarch64" } else { "x86_64" }
}

/// `TARGET=DIR` of the root file system for the other target.
fn rootfs() -> String {
    let (_, other) = targets();
    if let Ok(given) = std::env::var("CROSSWHEEL_ROOTFS") {
        return given;
    }
    let cache = match std::env::var("CROSSWHEEL_CACHE_DIR") {
        Ok(cache) => cache,
        Err(_) => format!("{}/.cache/crosswheel", std::env::var("HOME").unwrap()),
    };
    let root = format!("{cache}/rootfs/{other}");
    let arch = other.strip_prefix("linux_").unwrap();
    assert!(Path::new(&root).is_dir(), "there is no {root}: run `crosswheel rootfs create --arch {arch}`");
    format!("{other}={root}")
}

/// A Python of that root file system, as in `3.11`; there must be one of this version here, too.
fn python() -> String {
    let rootfs = rootfs();
    let (_, directory) = rootfs.split_once('=').unwrap();
    let offer = crosswheel::rootfs::Offer::of(Path::new(directory), &[]).unwrap();
    format!("3.{}", offer.python_minors.last().expect("a Python in the root file system"))
}

/// The results of `crosswheel build --json` in `place`, which must end with `code`.
#[track_caller]
fn build(place: &TempDir, out: &str, arguments: &[&str], code: i32) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_crosswheel"))
        .args(["build", "--json", "--python", &python(), "--rootfs", &rootfs(), "--cache-dir"])
        .arg(place.path().join("cache"))
        .arg("--out")
        .arg(place.path().join(out))
        .args(arguments)
        .env_remove("CROSSWHEEL_ROOTFS")
        .output()
        .unwrap();
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
    let (host, other) = targets();
    let lock = place.path().join("crosswheel.lock").to_str().unwrap().to_owned();
    let sources = ["cowsay==6.0", "markupsafe==2.1.5"];
    let both = [&sources[..], &["--target", other, "--target", host, "--lock", &lock]].concat();
    let results = build(&place, "both", &both, 0);
    assert_eq!(each(&results, "source"), ["cowsay==6.0", "cowsay==6.0", sources[1], sources[1]]);
    assert_eq!(each(&results, "target"), [other, host, other, host]);
    assert_eq!(each(&results, "status"), ["shared", "built", "built", "built"]);
    assert_eq!(each(&results, "shared_from"), [host, "", "", ""]);
    assert_eq!(results[0]["wheel"], results[1]["wheel"]);
    for (result, machine_code) in [(&results[2], true), (&results[3], false)] {
        let target = result["target"].as_str().unwrap();
        assert_eq!(result["report"]["emulated"], machine_code);
        let cpython = format!("cp{}", python().replace('.', ""));
        let tag = format!("{cpython}-{cpython}-linux_{}", machine(target));
        assert_eq!(result["report"]["tags"], serde_json::json!([tag]));
        let elf = if target == "linux_arm64" { 183 } else { 62 };
        assert_eq!(machines(Path::new(result["wheel"].as_str().unwrap())), [elf]);
    }
    // The requirements of both are in the lock.
    let text = fs_err::read_to_string(&lock).unwrap();
    assert!(
        text.contains(&format!("target = \"{host}\"")) && text.contains(&format!("target = \"{other}\""))
    );
    // Alone, the same bytes.
    let alone = build(&place, "alone", &[&sources[..], &["--rebuild"]].concat(), 0);
    for (alone, both) in [(&alone[0], &results[1]), (&alone[1], &results[3])] {
        assert_eq!(alone["report"]["sha256"], both["report"]["sha256"]);
    }
    let again = build(&place, "both", &both, 0);
    assert_eq!(each(&again, "status"), ["shared", "cached", "cached", "cached"]);
}

#[test]
fn a_pure_wheel_of_a_project_with_native_sources_is_built_for_each_target() {
    let place = tempfile::tempdir().unwrap();
    let (host, other) = targets();
    let project = Project { name: "falls-back", version: "1.0", native_source: true, ..Project::default() };
    let sdist = place.path().join(project.file_name());
    fs_err::write(&sdist, project.sdist()).unwrap();
    let arguments = [sdist.to_str().unwrap(), "--no-index", "--target", host, "--target", other];
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
fn requirements_that_exist_only_as_sdists_are_built_for_the_target() {
    let place = tempfile::tempdir().unwrap();
    let (_, other) = targets();
    let there = format!("tool; platform_machine == '{}'", machine(other));
    let tool = Project { name: "tool", version: "1.0", ..Project::default() };
    let app = Project {
        name: "app",
        version: "1.0",
        requires: &[&there, "absent; platform_machine == 'riscv64'"],
        imports: &["tool"],
        ..Project::default()
    };
    let links = place.path().join("links");
    fs_err::create_dir(&links).unwrap();
    fs_err::write(links.join(tool.file_name()), tool.sdist()).unwrap();
    let sdist = place.path().join(app.file_name());
    fs_err::write(&sdist, app.sdist()).unwrap();
    let links = links.to_str().unwrap();
    let arguments = [sdist.to_str().unwrap(), "--no-index", "--find-links", links, "--target", other];
    let results = build(&place, "dist", &arguments, 0);
    let report = &results[0]["report"];
    assert_eq!((&report["emulated"], &report["target"]), (&Value::from(true), &Value::from(other)));
    assert_eq!(report["build_requirements"][0]["file_name"], "tool-1.0-py3-none-any.whl");
}
