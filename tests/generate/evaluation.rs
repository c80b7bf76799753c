//! Every version of Bazel takes every file, and finds in them what the model says.

use crosswheel::starlark::{BazelVersion, Emission};
use serde_json::{Value as Json, json};

use crate::interpreter::Package;
use crate::{both, emission, major, model};

/// The targets that a BUILD file makes: kind and name.
fn targets(package: &Package, file: &str) -> Vec<(String, Json)> {
    let targets = package.notes[file].iter().filter(|(kind, _)| kind == "target");
    targets.map(|(_, target)| (target["name"].as_str().unwrap().to_owned(), target.clone())).collect()
}

fn target(package: &Package, name: &str) -> Json {
    let found = targets(package, "BUILD.bazel").into_iter().find(|(other, _)| other == name);
    found.unwrap_or_else(|| panic!("there is no {name}")).1
}

#[test]
fn every_version_of_bazel_takes_every_file() {
    for version in BazelVersion::ALL {
        let mut one =
            model(&["linux_amd64", "linux_arm64,name=arm,libc=musl,python=3.11,python=3.12,Pool=x y"]);
        one.versions = [version].into();
        for model in [one, model(&["linux_arm64"])] {
            let package = Package::load(&Emission::of(&model), "platforms", major(version)).unwrap();
            assert!(!package.notes["BUILD.bazel"].is_empty());
        }
    }
}

#[test]
fn only_registration_differs_between_versions() {
    let of = |version| {
        let mut model = model(&["linux_amd64"]);
        model.versions = [version].into();
        Emission::of(&model)
    };
    let names = |version| of(version).files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
    assert_eq!(
        names(BazelVersion::V4_2),
        [
            "BUILD.bazel",
            "README.md",
            "crosswheel-4.2.bazelrc",
            "crosswheel.bazelrc",
            "defs.bzl",
            "platforms.bzl",
            "unplaced/BUILD.bazel",
            "workspace.bzl"
        ]
    );
    assert_eq!(
        names(BazelVersion::V9),
        [
            "BUILD.bazel",
            "README.md",
            "crosswheel.MODULE.bazel",
            "crosswheel.bazelrc",
            "defs.bzl",
            "platforms.bzl"
        ]
    );
    let text = |version, name| of(version).files.into_iter().find(|file| file.path == name).unwrap().text;
    for version in BazelVersion::ALL {
        for name in ["crosswheel.bazelrc", "defs.bzl", "platforms.bzl"] {
            assert_eq!(text(version, name), text(BazelVersion::V4_2, name), "{name}");
        }
        // The platform of builds without a place is the last.
        assert!(text(BazelVersion::V4_2, "BUILD.bazel").starts_with(&text(version, "BUILD.bazel")));
    }
}

#[test]
fn a_platform_has_constraints_properties_and_an_equal_toolchain() {
    let package = Package::load(&both(), "platforms", 7).unwrap();
    let constraints = json!([":glibc_2.36", "@platforms//cpu:aarch64", "@platforms//os:linux"]);
    assert_eq!(
        target(&package, "linux_arm64")["values"],
        json!({
            "constraint_values": constraints,
            "exec_properties": { "Arch": "arm64", "OSFamily": "Linux", "libc": "glibc-2.36" },
        })
    );
    assert_eq!(
        target(&package, "linux_arm64_toolchain")["values"],
        json!({
            "exec_compatible_with": constraints,
            "target_compatible_with": constraints,
            "toolchain": ":linux_arm64_placement",
            "toolchain_type": ":toolchain_type",
        })
    );
    assert_eq!(
        target(&package, "linux_arm64_placement")["values"],
        json!({ "libc": "glibc-2.36", "platform": "linux_arm64", "target": "linux_arm64" })
    );
    assert_eq!(
        target(&package, "libc")["values"],
        json!({ "default_constraint_value": ":libc_unspecified" })
    );
}

/// A platform that leaves a constraint open has its default: else it would be like every platform that does not.
#[test]
fn what_is_left_open_is_a_constraint_of_its_own() {
    let emission = emission(&["linux_amd64", "linux_amd64,name=old,libc=glibc-2.17,python=3.9"]);
    let package = Package::load(&emission, "platforms", 7).unwrap();
    let constraints = |name| target(&package, name)["values"]["exec_compatible_with"].clone();
    let system = ["@platforms//cpu:x86_64", "@platforms//os:linux"];
    assert_eq!(
        constraints("linux_amd64_toolchain"),
        json!([":libc_unspecified", ":python_unspecified", system[0], system[1]])
    );
    assert_eq!(constraints("old_toolchain"), json!([":glibc_2.17", ":python_3.9", system[0], system[1]]));
}

#[test]
fn several_pythons_make_several_platforms() {
    let emission = emission(&["linux_arm64,name=arm,python=3.11,python=3.12,python-property=off"]);
    let package = Package::load(&emission, "platforms", 7).unwrap();
    for python in ["11", "12"] {
        let values = target(&package, &format!("arm_py3{python}"))["values"].clone();
        assert_eq!(values["constraint_values"][1], format!(":python_3.{python}"));
        assert_eq!(values["exec_properties"], json!({ "Arch": "arm64", "OSFamily": "Linux" }));
        assert_eq!(
            target(&package, &format!("arm_py3{python}_placement"))["values"]["python"],
            format!("3.{python}")
        );
    }
    assert!(targets(&package, "BUILD.bazel").iter().all(|(name, _)| name != "arm"));
}

#[test]
fn properties_of_the_model_win() {
    let emission =
        emission(&["linux_amd64,libc=glibc-2.36,libc-property=off,OSFamily=linux,Pool=a\"b\\c\nd"]);
    let package = Package::load(&emission, "platforms", 7).unwrap();
    assert_eq!(
        target(&package, "linux_amd64")["values"]["exec_properties"],
        json!({ "Arch": "amd64", "OSFamily": "linux", "Pool": "a\"b\\c\nd" })
    );
}

#[test]
fn registering_names_every_platform_and_the_fallback_last() {
    let mut package = Package::load(&both(), "platforms", 7).unwrap();
    let here = [
        json!({ "platforms": ["//platforms:linux_amd64", "//platforms:linux_arm64"] }),
        json!({ "toolchains": ["//platforms:all"] }),
    ];
    let values = |notes: &[(String, Json)]| notes.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>();
    assert_eq!(values(&package.notes["crosswheel.MODULE.bazel"]), here);
    let script = "load('//platforms:workspace.bzl', 'register_platforms')\nregister_platforms()";
    assert_eq!(values(&package.run(script).unwrap()), here);

    let mut package = Package::load(&both(), "platforms", 4).unwrap();
    let [platforms, toolchains] = here;
    assert_eq!(
        values(&package.run(script).unwrap()),
        [
            platforms,
            toolchains,
            json!({ "platforms": ["//platforms:~unplaced"] }),
            json!({ "toolchains": ["//platforms/unplaced:all"] })
        ]
    );
    let fallbacks = targets(&package, "unplaced/BUILD.bazel");
    let types: Vec<_> =
        fallbacks.iter().map(|(_, target)| target["values"]["toolchain_type"].clone()).collect();
    for name in ["toolchain_type", "linux_amd64_registered", "linux_arm64_registered"] {
        assert!(types.contains(&json!(format!("//platforms:{name}"))), "{types:?}");
    }
}

/// The stand-ins are strict enough for the other tests to mean something.
#[test]
fn the_stand_ins_refuse_what_bazel_refuses() {
    let mut package = Package::load(&both(), "platforms", 4).unwrap();
    let load = "load(':defs.bzl', 'py_sdist_wheel')\n";
    for (script, problem) in [
        ("py_sdist_wheel(name = 'a')", "needs \"src\""),
        ("py_sdist_wheel(name = 'a', src = 'a.zip', sources = [])", "no attribute \"sources\""),
        ("py_sdist_wheel(name = 'a', src = 'a.zip', expect = 'maybe')", "is one of"),
        ("py_sdist_wheel(name = 'a', src = 'a.zip', timeout = '1')", "is a int"),
        ("platform(name = 'a', constraints = [])", "constraints"),
        ("toolchain(name = 'a', toolchain = ':b')", "toolchain_type"),
        ("attr.string(defualt = '')", "defualt"),
        ("exec_group(toolchains = [':a'])", "absolute"),
        ("Label(':a')", "absolute"),
        ("config_common.toolchain_type('//a')", "toolchain_type"),
    ] {
        let error = package.run(&format!("{load}{script}")).unwrap_err();
        assert!(error.contains(problem), "{script}: {error}");
    }
}
