//! The command: what it writes, what it leaves alone, and what it says.

use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::support::waiting::InTime;

struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn json(&self) -> Json {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{}\n{}", self.stdout, self.stderr))
    }
}

fn generate(out: &Path, arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_crosswheel"))
        .args(["generate", "bazel", "--out"])
        .arg(out)
        .args(arguments)
        .output_in_time();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn workspace() -> TempDir {
    let workspace = tempfile::tempdir().unwrap();
    fs_err::write(workspace.path().join("MODULE.bazel"), "").unwrap();
    workspace
}

fn read(path: &Path) -> String {
    fs_err::read_to_string(path).unwrap()
}

#[test]
fn a_package_is_written_and_then_checked() {
    let workspace = workspace();
    let out = workspace.path().join("build/platforms");
    let first = generate(&out, &["--json"]);
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert!(first.json()["written"].as_array().unwrap().contains(&json!("defs.bzl")));
    assert!(read(&out.join("platforms.bzl")).contains("PACKAGE = \"//build/platforms\""));
    assert!(read(&out.join("BUILD.bazel")).contains("name = \"linux_arm64\""));

    let second = generate(&out, &[]);
    assert_eq!((second.code, second.stdout.as_str()), (0, "everything is as it would be written\n"));
    let check = generate(&out, &["--check"]);
    assert_eq!((check.code, check.stdout.as_str()), (0, ""), "{}", check.stderr);
    assert_eq!(generate(&out, &["--check", "--json"]).json(), json!({ "ok": true, "differences": [] }));
}

#[test]
fn a_check_names_what_is_different_and_writes_nothing() {
    let workspace = workspace();
    let out = workspace.path().join("p");
    generate(&out, &[]);
    fs_err::remove_file(out.join("README.md")).unwrap();
    let build = read(&out.join("BUILD.bazel"));
    fs_err::write(out.join("BUILD.bazel"), build.replace("arm64", "mips")).unwrap();
    let check = generate(&out, &["--check", "--bazel-compat", "8"]);
    assert_eq!(check.code, 1);
    for part in [
        "missing      README.md\n",
        "changed      BUILD.bazel\n",
        "\n-        \"Arch\": \"mips\",\n+        \"Arch\": \"arm64\",",
    ] {
        assert!(check.stdout.contains(part), "{}", check.stdout);
    }
    assert!(check.stdout.contains("superfluous  unplaced/BUILD.bazel\n"), "{}", check.stdout);
    assert!(!out.join("README.md").exists());
    let json = generate(&out, &["--check", "--json"]).json();
    assert_eq!(json["ok"], false);
    assert_eq!(json["differences"][1], json!({ "file": "README.md", "kind": "missing" }));
}

#[test]
fn what_is_no_longer_generated_is_removed() {
    let workspace = workspace();
    let out = workspace.path().join("p");
    generate(&out, &[]);
    fs_err::write(out.join("mine.bzl"), "# mine\n").unwrap();
    let written = generate(&out, &["--bazel-compat=7", "--bazel-compat=8", "--json"]).json();
    assert_eq!(written["removed"], json!(["crosswheel-4.2.bazelrc", "unplaced/BUILD.bazel"]));
    assert_eq!(written["written"], json!(["BUILD.bazel", "README.md", "workspace.bzl"]));
    assert!(!out.join("unplaced").exists());
    assert!(out.join("mine.bzl").exists());
}

/// A copy of one of our files is its maker's, and so is a whole package in the place of one of our files.
#[test]
fn what_was_generated_for_something_else_stays() {
    let workspace = workspace();
    let out = workspace.path().join("p");
    let nested = out.join("unplaced");
    generate(&out, &["--bazel-compat=7"]);
    fs_err::copy(out.join("workspace.bzl"), out.join("mine.bzl")).unwrap();
    assert_eq!(generate(&nested, &["--bazel-compat=8"]).code, 0);
    let written = generate(&out, &["--bazel-compat=8", "--json"]).json();
    assert_eq!(written["removed"], json!(["workspace.bzl"]));
    assert!(out.join("mine.bzl").exists());
    assert_eq!(generate(&nested, &["--bazel-compat=8", "--check"]).code, 0);
    let refused = generate(&out, &["--bazel-compat=4.2"]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("unplaced/BUILD.bazel was not generated"), "{}", refused.stderr);
}

#[test]
fn a_build_file_of_the_other_name_is_not_hidden() {
    let workspace = workspace();
    let out = workspace.path().join("p");
    fs_err::create_dir(&out).unwrap();
    fs_err::write(out.join("BUILD"), "exports_files([\"mine\"])\n").unwrap();
    let refused = generate(&out, &[]);
    assert_eq!(refused.code, 2);
    let expected = "p/BUILD was not generated, and Bazel would no longer read it beside a BUILD.bazel";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    assert_eq!(fs_err::read_dir(&out).unwrap().count(), 1, "nothing else was written either");
    assert_eq!(generate(&out, &["--force"]).code, 0);
    assert_eq!(generate(&out, &["--bazel-compat=8"]).code, 0, "it is hidden already");
}

#[test]
fn a_file_that_was_not_generated_is_not_overwritten() {
    let workspace = workspace();
    let out = workspace.path().join("p");
    fs_err::create_dir(&out).unwrap();
    fs_err::write(out.join("defs.bzl"), "# mine\n").unwrap();
    let refused = generate(&out, &[]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("defs.bzl was not generated, so it is not overwritten"),
        "{}",
        refused.stderr
    );
    assert_eq!(fs_err::read_dir(&out).unwrap().count(), 1, "nothing else was written either");
    assert_eq!(generate(&out, &["--force"]).code, 0);
    assert_ne!(read(&out.join("defs.bzl")), "# mine\n");
}

#[test]
fn a_model_says_the_same_as_flags() {
    let workspace = workspace();
    let model = workspace.path().join("model.toml");
    let text = "package = 'other'\nbazel-compat = ['7']\n[[platform]]\narch = 'arm64'\nlibc = 'musl'\n";
    fs_err::write(&model, text).unwrap();
    let out = workspace.path().join("p");
    let ran = generate(&out, &["--model", model.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let flags = ["--platform=linux_arm64,libc=musl", "--package=other", "--bazel-compat=7", "--check"];
    let check = generate(&out, &flags);
    assert_eq!(check.code, 0, "{}", check.stdout);
}

#[test]
fn mistakes_are_explained() {
    let workspace = workspace();
    let out = workspace.path().join("p");
    let model = workspace.path().join("model.toml");
    fs_err::write(&model, "platforms = 1\n").unwrap();
    let file = model.to_str().unwrap();
    for (arguments, problem) in [
        (&["--platform=linux_mips"][..], "unknown target `linux_mips`"),
        (&["--platform=linux_amd64", "--platform=linux_amd64"], "two targets `linux_amd64"),
        (&["--bazel-compat=5"], "`5` is no version of Bazel"),
        (&["--model", file], "model.toml: `platforms` is none of a model's keys"),
        (&["--model", "/nonexistent.toml"], "cannot read the model"),
        (&["--model", file, "--platform=linux_amd64"], "cannot be used with"),
        (&["--package=a b"], "`a b` is no path of a Bazel package"),
    ] {
        let ran = generate(&out, arguments);
        assert_eq!(ran.code, 2, "{arguments:?}");
        assert!(ran.stderr.contains(problem), "{arguments:?}: {}", ran.stderr);
    }
    assert!(!out.exists());

    let ran = generate(&model.join("below"), &["--json"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert_eq!(ran.json()["error"]["kind"], "host");

    fs_err::create_dir_all(out.join("defs.bzl")).unwrap();
    let ran = generate(&out, &[]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("defs.bzl is not a file"), "{}", ran.stderr);
}

#[test]
fn a_directory_without_a_workspace_gives_the_package_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("plain");
    assert_eq!(generate(&out, &[]).code, 0);
    assert!(read(&out.join("platforms.bzl")).contains("PACKAGE = \"//plain\""));
}
