//! BUILD files: platforms, constraints, toolchains. Knows nothing of registration.

use super::bazel_platform::{self, BazelPlatform, LIBC_UNSPECIFIED, PYTHON_UNSPECIFIED};
use super::marker::HEADER;
use super::model::{BazelModel, BazelVersion};
use super::syntax::{Call, quote};

/// The platform of builds that find no place. Bazel registers the platforms of a package in the order of their names, and
/// those of a model begin with a letter.
pub(super) const UNPLACED: &str = "~unplaced";

/// The package's BUILD file.
pub(super) fn build_file(model: &BazelModel, platforms: &[BazelPlatform]) -> String {
    let mut calls = vec![public()];
    calls
        .extend(setting("libc", LIBC_UNSPECIFIED, platforms, |place| bazel_platform::libc_value(place.libc)));
    if model.platforms.iter().any(|platform| !platform.pythons.is_empty()) {
        let value = |place: &BazelPlatform| bazel_platform::python_value(place.python);
        calls.extend(setting("python", PYTHON_UNSPECIFIED, platforms, value));
    }
    calls.push(Call::target("toolchain_type", "toolchain_type"));
    calls.extend(platforms.iter().flat_map(platform));
    let mut text = format!("{HEADER}\nload(\":defs.bzl\", \"placement\")\n\n{}", body(&calls));
    if model.versions.contains(&BazelVersion::V4_2) {
        let nowhere = format!("{}:nowhere", model.unplaced_prefix());
        let platform = Call::target("platform", UNPLACED).list("constraint_values", [nowhere]);
        text += "\n# For Bazel 4; see unplaced/BUILD.bazel. Its name is the last of the package, as it has to be wherever all platforms\n";
        text += "# are registered at once.\n";
        text += &body(&[platform]);
    }
    text
}

/// A constraint setting, and its values in the order in which they first appear.
fn setting(
    name: &'static str,
    default: &str,
    platforms: &[BazelPlatform],
    value: impl Fn(&BazelPlatform) -> String,
) -> Vec<Call> {
    let mut values = vec![default.to_owned()];
    for value in platforms.iter().map(value) {
        if !values.contains(&value) {
            values.push(value);
        }
    }
    let setting =
        Call::target("constraint_setting", name).text("default_constraint_value", format!(":{default}"));
    let value = |value: &String| {
        Call::target("constraint_value", value).text("constraint_setting", format!(":{name}"))
    };
    std::iter::once(setting).chain(values.iter().map(value)).collect()
}

fn platform(place: &BazelPlatform) -> Vec<Call> {
    let [placement, registered, registered_toolchain, toolchain] = bazel_platform::own_targets(&place.name);
    let libc = place.libc.map(|libc| libc.to_string());
    let python = place.python.map(|python| python.to_string());
    let mut empty = Call::target("placement", &placement);
    if let Some(libc) = libc {
        empty = empty.text("libc", libc);
    }
    empty = empty.text("platform", &place.name);
    if let Some(python) = python {
        empty = empty.text("python", python);
    }
    vec![
        Call::target("platform", &place.name)
            .list("constraint_values", &place.constraints)
            .dict("exec_properties", &place.properties),
        empty.text("target", place.target.to_string()),
        Call::target("toolchain", &toolchain)
            .list("exec_compatible_with", &place.constraints)
            .list("target_compatible_with", &place.constraints)
            .text("toolchain", format!(":{placement}"))
            .text("toolchain_type", ":toolchain_type"),
        Call::target("toolchain_type", &registered),
        Call::target("toolchain", &registered_toolchain)
            .list("exec_compatible_with", &place.constraints)
            .text("toolchain", format!(":{placement}"))
            .text("toolchain_type", format!(":{registered}")),
    ]
}

/// The BUILD file of the package `unplaced`, for Bazels that have no optional toolchains: [`UNPLACED`] is a platform
/// that nothing asks for, and that has all our toolchains. To be registered last.
pub(super) fn unplaced_build_file(model: &BazelModel, platforms: &[BazelPlatform]) -> String {
    let package = model.label_prefix();
    let fallback = |name: String, toolchain_type: String| {
        Call::target("toolchain", &name)
            .list("exec_compatible_with", [":nowhere"])
            .text("toolchain", ":placement")
            .text("toolchain_type", format!("{package}:{toolchain_type}"))
    };
    let mut calls = vec![
        public(),
        Call::target("constraint_setting", "place"),
        Call::target("constraint_value", "nowhere").text("constraint_setting", ":place"),
        Call::target("placement", "placement"),
        fallback("toolchain".into(), "toolchain_type".into()),
    ];
    for place in platforms {
        let [_, registered, registered_toolchain, _] = bazel_platform::own_targets(&place.name);
        calls.push(fallback(registered_toolchain, registered));
    }
    let defs = quote(&format!("{package}:defs.bzl"));
    format!(
        "{HEADER}#\n# Bazel 4 has no optional toolchains: it finds these where nothing else fits, so that the rules can say \
         why.\n\nload({defs}, \"placement\")\n\n{}",
        body(&calls)
    )
}

fn public() -> Call {
    Call::new("package").list("default_visibility", ["//visibility:public"])
}

fn body(calls: &[Call]) -> String {
    let calls: Vec<String> = calls.iter().map(|call| call.print(0)).collect();
    calls.join("\n\n") + "\n"
}
