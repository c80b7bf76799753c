//! BUILD files: platforms, constraints, toolchains. Knows nothing of registration.

use super::emission::HEADER;
use super::model::Model;
use super::placement::{self, LIBC_UNSPECIFIED, PYTHON_UNSPECIFIED, Placement};
use super::syntax::Call;

/// The package's BUILD file.
pub(super) fn build_file(model: &Model, placements: &[Placement]) -> String {
    let mut calls = vec![public()];
    calls.extend(setting("libc", LIBC_UNSPECIFIED, placements, |place| placement::libc_value(place.libc)));
    if model.platforms.iter().any(|platform| !platform.pythons.is_empty()) {
        let value = |place: &Placement| placement::python_value(place.python);
        calls.extend(setting("python", PYTHON_UNSPECIFIED, placements, value));
    }
    calls.push(Call::target("toolchain_type", "toolchain_type"));
    calls.extend(placements.iter().flat_map(platform));
    file(&calls)
}

/// A constraint setting, and its values in the order in which they first appear.
fn setting(
    name: &'static str,
    default: &str,
    placements: &[Placement],
    value: impl Fn(&Placement) -> String,
) -> Vec<Call> {
    let mut values = vec![default.to_owned()];
    for value in placements.iter().map(value) {
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

fn platform(place: &Placement) -> Vec<Call> {
    let [placement, registered, registered_toolchain, toolchain] = placement::own_targets(&place.name);
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

/// The BUILD file of the package `unplaced`, for Bazels that have no optional toolchains: a platform that nothing
/// asks for, and that has all our toolchains. To be registered last.
pub(super) fn unplaced_build_file(model: &Model, placements: &[Placement]) -> String {
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
        Call::target("platform", "unplaced").list("constraint_values", [":nowhere"]),
        Call::target("placement", "placement"),
        fallback("unplaced_toolchain".into(), "toolchain_type".into()),
    ];
    for place in placements {
        let [_, registered, registered_toolchain, _] = placement::own_targets(&place.name);
        calls.push(fallback(registered_toolchain, registered));
    }
    format!(
        "{HEADER}# Bazel 4 finds these where nothing else fits, so that the rules can say why.\n\nload(\"{package}:defs.bzl\", \
         \"placement\")\n\n{}",
        body(&calls)
    )
}

fn public() -> Call {
    Call::new("package").list("default_visibility", ["//visibility:public"])
}

fn file(calls: &[Call]) -> String {
    format!("{HEADER}\nload(\":defs.bzl\", \"placement\")\n\n{}", body(calls))
}

fn body(calls: &[Call]) -> String {
    let calls: Vec<String> = calls.iter().map(|call| call.print(0)).collect();
    calls.join("\n\n") + "\n"
}
