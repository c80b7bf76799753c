//! Whatever a model says: either it is refused, or Bazel takes what is generated, and the values are in it.

use crosswheel::platform::{Glibc, Libc};
use crosswheel::starlark::{
    BazelModel, BazelVersion, Emission, ModelError, ModelFile, PlatformModel, PythonVersion,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree;
use serde_json::json;

use crate::interpreter::Package;
use crate::{emission, major, model};

fn libc() -> impl Strategy<Value = Option<Libc>> {
    let glibc = (any::<u32>(), any::<u32>()).prop_map(|(major, minor)| Libc::Glibc(Glibc { major, minor }));
    prop_oneof![Just(None), Just(Some(Libc::Musl)), glibc.prop_map(Some)]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-zA-Z][-a-zA-Z0-9_.]{0,12}", 1 => "\\PC{0,6}", 1 => Just("libc".to_owned())]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[ -~]{1,12}", 1 => "(\"|\\\\|\n|\t|'|%|\\{|\\$){1,8}", 1 => ".{0,4}"]
}

fn platform() -> impl Strategy<Value = PlatformModel> {
    let pythons = subsequence((8..15).collect::<Vec<u8>>(), 0..4);
    let target = select(vec!["linux_amd64", "linux_arm64"]);
    let properties = btree_map(text(), text(), 0..4);
    (target, name(), libc(), any::<(bool, bool)>(), pythons, properties).prop_map(
        |(target, name, libc, (libc_property, python_property), pythons, properties)| PlatformModel {
            name,
            libc,
            libc_property,
            pythons: pythons.into_iter().map(|minor| PythonVersion { minor }).collect(),
            python_property,
            properties: properties.into_iter().collect(),
            ..PlatformModel::of(target.parse().unwrap())
        },
    )
}

fn any_model() -> impl Strategy<Value = BazelModel> {
    let package = prop_oneof![Just("platforms".to_owned()), "[a-z.]{0,4}(/[a-zA-Z0-9_-]{1,4}){0,2}"];
    let versions = subsequence(BazelVersion::ALL.to_vec(), 1..=4);
    (package, versions, vec(platform(), 1..4)).prop_map(|(package, versions, platforms)| BazelModel {
        package,
        versions: versions.into_iter().collect(),
        platforms,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_not_refused_is_taken_by_bazel(model in any_model()) {
        let Ok(model) = model.check() else { return Ok(()) };
        let emission = Emission::of(&model);
        prop_assert_eq!(&emission, &Emission::of(&model));
        for version in &model.versions {
            let package = Package::load(&emission, &model.package, major(*version));
            let package = package.map_err(TestCaseError::fail)?;
            let properties: Vec<_> = package.notes["BUILD.bazel"]
                .iter()
                .filter(|(_, target)| target["kind"] == "platform")
                .map(|(_, target)| target["values"]["exec_properties"].clone())
                .collect();
            let mut properties = properties.iter();
            for platform in &model.platforms {
                for _ in 0..platform.pythons.len().max(1) {
                    let found = properties.next().expect("one for each");
                    for (name, value) in &platform.properties {
                        prop_assert_eq!(&found[name], value);
                    }
                }
            }
        }
    }

    #[test]
    fn no_line_makes_the_parser_panic(line: String) {
        let _ = PlatformModel::parse(&line);
        let _ = PlatformModel::parse(&format!("linux_amd64,{line}"));
    }

    #[test]
    fn no_file_makes_the_parser_panic(text: String) {
        let _ = ModelFile::parse(&text);
        let _ = ModelFile::parse(&format!("[[platform]]\narch = \"amd64\"\n{text}"));
    }
}

/// Generated with few enough refusals for the property to mean something.
#[test]
fn most_models_are_not_refused() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let accepted =
        (0..200).filter(|_| any_model().new_tree(&mut runner).unwrap().current().check().is_ok()).count();
    assert!(accepted > 20, "{accepted} of 200");
}

#[test]
fn a_line_and_a_table_say_the_same() {
    let line = PlatformModel::parse(
        "linux_arm64,name=arm,libc=glibc-2.36,libc-property=off,python=3.11,python=3.12,Pool=a=b",
    );
    let file = ModelFile::parse(
        r#"
            package = "build/platforms"
            bazel-compat = ["4.2", "9"]

            [[platform]]
            os = "linux"
            arch = "arm64"
            name = "arm"
            libc = "glibc-2.36"
            libc-property = false
            python = ["3.11", "3.12"]
            exec-properties = { Pool = "a=b" }
        "#,
    )
    .unwrap();
    assert_eq!(file.platforms, Some(vec![line.unwrap()]));
    let manylinux = "manylinux_2_36_aarch64,name=arm,libc-property=off,python=3.11,python=3.12,Pool=a=b";
    assert_eq!(file.platforms, Some(vec![PlatformModel::parse(manylinux).unwrap()]));
    assert_eq!(file.package.as_deref(), Some("build/platforms"));
    assert_eq!(file.versions, Some([BazelVersion::V4_2, BazelVersion::V9].into()));
}

#[test]
fn what_makes_no_model_is_refused() {
    let both = |platforms: [&str; 2]| -> Result<BazelModel, ModelError> {
        let platforms = platforms.map(|line| PlatformModel::parse(line).unwrap()).into();
        ModelFile { platforms: Some(platforms), ..ModelFile::default() }.complete("p".into())
    };
    for (line, problem) in [
        ("linux_riscv", "unknown target `linux_riscv`"),
        (
            "manylinux_2_28_x86_64,libc=glibc-2.36",
            "the target's name says glibc-2.28, and libc says glibc-2.36",
        ),
        ("linux_amd64,libc=glibc", "`glibc` is not a C library"),
        ("linux_amd64,python=3", "`3` is no version of Python"),
        ("linux_amd64,python=3.011", "no version of Python"),
        ("linux_amd64,libc-property=no", "libc-property: `no` is neither `on` nor `off`"),
        ("linux_amd64,Pool", "`Pool` is not of the form KEY=VALUE"),
    ] {
        let error = PlatformModel::parse(line).unwrap_err().to_string();
        assert!(error.contains(problem), "{line}: {error}");
    }
    for (platforms, problem) in [
        (["linux_amd64", "linux_amd64,name=a"], "`linux_amd64` and `a` have the same constraints"),
        (["linux_amd64,name=libc", "linux_arm64"], "two targets `libc`"),
        (["linux_amd64,libc=musl,name=musl", "linux_arm64"], "two targets `musl`"),
        (["linux_amd64,name=a", "linux_arm64,name=a_toolchain"], "two targets `a_toolchain`"),
        (["linux_amd64,name=a b", "linux_arm64"], "`a b` is no name"),
        (["linux_amd64,python=3.9,python=3.9", "linux_arm64"], "has Python 3.9 twice"),
        (["linux_amd64,Pool=", "linux_arm64"], "without a name or a value"),
        (["linux_amd64,Pool=a,Pool=b", "linux_arm64"], "has the property `Pool` twice"),
        (["linux_amd64,Pool=a,pool=b", "linux_arm64"], "has the property `pool` twice"),
        (["linux_amd64,arch=a,ISA=b", "linux_arm64"], "has the property `ISA` twice"),
        (
            [
                "linux_amd64,name=a,libc=glibc-2.36,libc-property=off",
                "linux_amd64,name=b,libc=musl,libc-property=off",
            ],
            "the platforms `a` and `b` have different C libraries, but ask workers for the same",
        ),
        (
            [
                "linux_amd64,name=a,libc=glibc-2.36,LIBC=x,Pool=y",
                "linux_amd64,name=b,libc=musl,Libc=x,pool=y",
            ],
            "the platforms `a` and `b` have different C libraries",
        ),
        (["linux_amd64,Pool=a\u{7}", "linux_arm64"], "would not hand on"),
        (["linux_amd64,Pool=é", "linux_arm64"], "would not hand on"),
    ] {
        let error = both(platforms).unwrap_err().to_string();
        assert!(error.contains(problem), "{platforms:?}: {error}");
    }
    for (text, problem) in [
        ("a", "expected"),
        ("packages = 'a'", "`packages` is none of a model's keys: package"),
        ("bazel-compat = ['5']", "`5` is no version of Bazel"),
        ("platform = 1", "begun by [[platform]]"),
        ("[[platform]]", "a platform has no arch"),
        ("[[platform]]\narch = 'riscv'", "`riscv` is neither amd64 nor arm64"),
        ("[[platform]]\narch = 'arm64'\nos = 'macos'", "`macos` is not linux"),
        ("[[platform]]\narch = 'arm64'\nlibc-property = 'no'", "neither true nor false"),
        ("[[platform]]\narch = 'arm64'\nexec-properties = { a = 1 }", "a: `1` is no string"),
        ("[[platform]]\narch = 'arm64'\npythons = []", "`pythons` is none of a platform's keys"),
    ] {
        let error = ModelFile::parse(text).unwrap_err().to_string();
        assert!(error.contains(problem), "{text}: {error}");
    }
    for package in ["a b", "/a", "a/", "a//b", "a/../b", "a:b"] {
        let error = ModelFile::default().complete(package.into()).unwrap_err();
        assert!(matches!(error, ModelError::Package(_)), "{package}: {error}");
    }
    assert!(ModelFile::parse("bazel-compat = []").unwrap().complete("p".into()).is_err());
    assert!(ModelFile::parse("platform = []").unwrap().complete("p".into()).is_err());
}

/// Workers compare names without regard to case, and take ISA for Arch.
#[test]
fn a_property_of_the_model_takes_the_place_of_the_usual_one() {
    for (line, expected) in [
        ("linux_arm64,arch=amd64", json!({ "OSFamily": "Linux", "arch": "amd64" })),
        ("linux_arm64,ISA=arm-a64,osfamily=linux", json!({ "ISA": "arm-a64", "osfamily": "linux" })),
        ("linux_arm64,libc=musl,LibC=x", json!({ "Arch": "arm64", "LibC": "x", "OSFamily": "Linux" })),
        ("linux_arm64,python=3.11,Python=x", json!({ "Arch": "arm64", "OSFamily": "Linux", "Python": "x" })),
    ] {
        let package = Package::load(&emission(&[line]), "platforms", 7).unwrap();
        let (_, platform) =
            package.notes["BUILD.bazel"].iter().find(|(_, target)| target["kind"] == "platform").unwrap();
        assert_eq!(platform["values"]["exec_properties"], expected, "{line}");
    }
    // What tells workers apart may be any property.
    model(&[
        "linux_amd64,name=a,libc=glibc-2.36,libc-property=off,Pool=a",
        "linux_amd64,name=b,libc=musl,libc-property=off,Pool=b",
    ]);
}
