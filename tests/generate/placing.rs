//! What users read where a build finds no place.

use crate::interpreter::Package;
use crate::{both, emission};

/// The error of a wheel for a platform with these constraints, where these groups found toolchains.
fn error(emission: &crosswheel::starlark::Emission, bazel: i32, constraints: &str, found: &str) -> String {
    let script = format!(
        r#"
load(":defs.bzl", "py_sdist_wheel")

SDIST = file_target(file("a-1.tar.gz"))
CONSTRAINTS = {constraints}
FOUND = {{group: place(platform = "some", target = "linux_amd64") for group in {found}}}

analyse(py_sdist_wheel, {{"src": SDIST}}, found = FOUND, target_platform = "//my:platform", constraints = CONSTRAINTS)
"#
    );
    let error = Package::load(emission, "platforms", bazel).unwrap().run(&script).unwrap_err();
    let start = error.find("no registered execution platform").unwrap_or_else(|| panic!("{error}"));
    error[start..].replace("\\n", "\n").replace("\\\"", "\"")
}

#[test]
fn a_platform_that_is_not_registered_is_to_be_registered() {
    let constraints = r#"["//the_package:glibc_2.36", "@platforms//cpu:aarch64", "@platforms//os:linux"]"#;
    for bazel in [4, 7] {
        let error = error(&both(), bazel, constraints, r#"["registered_0"]"#);
        let expected = r#"no registered execution platform is like the target platform, so nothing can build this wheel.
  target platform: //my:platform (glibc_2.36, aarch64, linux)
  registered:      //platforms:linux_amd64 (glibc_2.36, x86_64, linux)
  no registered one has: aarch64
//platforms:linux_arm64 is what it takes. Register it, in MODULE.bazel or WORKSPACE:
  register_execution_platforms("//platforms:linux_arm64")
  register_toolchains("//platforms:all")
or in .bazelrc:
  build --extra_execution_platforms=//platforms:linux_arm64
  build --extra_toolchains=//platforms:all"#;
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn a_platform_that_nobody_has_is_named_by_its_constraints() {
    let constraints =
        r#"["//the_package:libc_unspecified", "@platforms//cpu:x86_64", "@platforms//os:linux"]"#;
    let error = error(&both(), 7, constraints, r#"["registered_0", "registered_1"]"#);
    let expected = r#"no registered execution platform is like the target platform, so nothing can build this wheel.
  target platform: //my:platform (libc_unspecified, x86_64, linux)
  registered:      //platforms:linux_amd64 (glibc_2.36, x86_64, linux)
  registered:      //platforms:linux_arm64 (glibc_2.36, aarch64, linux)
  no registered one has: libc_unspecified
Build for a platform that there is a place for:
  --platforms=//platforms:linux_amd64
  --platforms=//platforms:linux_arm64
or add one with these constraints to the model of //platforms, and let `crosswheel generate bazel` write it."#;
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn nothing_is_claimed_to_be_registered_that_is_not() {
    let error = error(&emission(&["linux_amd64"]), 7, "[]", "[]");
    for part in ["(nothing that is known here)", "registered:      none of //platforms"] {
        assert!(error.contains(part), "{error}");
    }
}
