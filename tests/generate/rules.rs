//! What the rules do, with stand-ins for what Bazel gives them.

use std::collections::BTreeSet;

use clap::{Args, Command, FromArgMatches};
use crosswheel::contract::{
    Argument, CONTRACT, CONTRACT_VARIABLE, Flag, FlagClass, MNEMONIC, PROGRAM, SUBCOMMAND, WheelCommand,
    environment,
};
use serde_json::{Value as Json, json};

use crate::both;
use crate::interpreter::Package;

const LOAD: &str = r#"
load(":defs.bzl", "PySdistWheelInfo", "PyWheelPlatformsInfo", "py_sdist_wheel", "py_wheel_platforms")

ARM64 = place(platform = "linux_arm64", target = "linux_arm64", libc = "glibc-2.36")
MUSL = place(platform = "alpine", target = "linux_amd64", libc = "musl")
PYTHON = place(platform = "py", target = "linux_amd64", python = "3.12")
SDIST = file_target(file("sdists/Some.Name_x-1.0.tar.gz"))

def wheel(found = ARM64, **values):
    infos = analyse(py_sdist_wheel, dict({"src": SDIST}, **values), found = {"target": found})
    info = [info for info in infos if hasattr(info, "platform_tag")][0]
    note("info", {
        "glibc": info.glibc,
        "name": info.name,
        "platform_tag": info.platform_tag,
        "python": info.python,
        "python_tag": info.python_tag,
        "report": info.report,
        "target": info.target,
        "version": info.version,
    })
    return target("//pkg:wheel", infos)
"#;

/// The last note of this kind.
fn noted(script: &str, kind: &str) -> Result<Json, String> {
    let mut all: Vec<Json> = Vec::new();
    // What one version of Bazel does, the others do.
    for bazel in [4, 7] {
        let mut package = Package::load(&both(), "platforms", bazel)?;
        let notes = package.run(&format!("{LOAD}\n{script}"))?;
        all.extend(notes.into_iter().rfind(|(other, _)| other == kind).map(|(_, value)| value));
    }
    assert_eq!(all.len(), 2, "{script}");
    assert_eq!(all[0], all[1]);
    Ok(all.remove(0))
}

fn action(script: &str) -> Json {
    noted(script, "action").unwrap()
}

fn argv(script: &str) -> Vec<String> {
    serde_json::from_value(action(script)["argv"].clone()).unwrap()
}

/// The argument that begins with this option.
fn has(script: &str, option: &str) -> Option<String> {
    argv(script).into_iter().find(|argument| argument.starts_with(&format!("{option}=")))
}

#[test]
fn a_wheel_is_one_action_as_workers_want_it() {
    assert_eq!(
        action("wheel()"),
        json!({
            "argv": [
                PROGRAM,
                SUBCOMMAND,
                "sdists/Some.Name_x-1.0.tar.gz",
                "--out=bazel-out/bin/pkg/wheel",
                "--report=bazel-out/bin/pkg/wheel/report.json",
                "--target=linux_arm64",
                "--glibc=2.36",
                "--expect-name=some-name-x",
                "--expect-version=1.0",
                "--expect-libc=glibc",
                "--expect=auto",
                "--sandbox=required",
                "--quiet",
            ],
            "env": {
                CONTRACT_VARIABLE: CONTRACT.to_string(),
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            },
            "exec_group": "target",
            "inputs": ["sdists/Some.Name_x-1.0.tar.gz"],
            "mnemonic": MNEMONIC,
            "outputs": ["bazel-out/bin/pkg/wheel"],
            "progress": "Building the wheel of Some.Name_x 1.0 for linux_arm64",
        })
    );
}

/// A wheel with every attribute.
const FULL: &str = r#"
wheel(
    python = "3.11",
    build_wheels = [
        file_target(file("w/setuptools-75-py3-none-any.whl"), file("w/wheel-1-py3-none-any.whl")),
        file_target(file("bazel-out/bin/wheelhouse", is_directory = True)),
        wheel(),
    ],
    patches = [file_target(file("b.patch"), file("a.patch"))],
    patch_strip = 0,
    crates = file_target(file("vendor", is_directory = True)),
    config_settings = {"z": ["1"], "--build-option": ["a=b", "100%s"]},
    env = {"X": "y z", "CFLAGS": "-O1"},
    expect = "native",
    glibc = "2.28",
    timeout = 600,
    limits = {"bytes": "5000000000", "depth": "9"},
)"#;

#[test]
fn every_attribute_reaches_the_command_line() {
    let action = action(FULL);
    assert_eq!(
        action["argv"].as_array().unwrap()[5..],
        [
            "--target=linux_arm64",
            "--python=3.11",
            "--glibc=2.28",
            "--expect-name=some-name-x",
            "--expect-version=1.0",
            "--expect-python=3.11",
            "--expect-libc=glibc",
            "--build-wheels=w/setuptools-75-py3-none-any.whl",
            "--build-wheels=w/wheel-1-py3-none-any.whl",
            "--build-wheels=bazel-out/bin/wheelhouse",
            "--build-wheels=bazel-out/bin/pkg/wheel",
            "--expect=native",
            "--patch=b.patch",
            "--patch=a.patch",
            "--patch-strip=0",
            "--crates=vendor",
            "--config-setting=--build-option=a=b",
            "--config-setting=--build-option=100%s",
            "--config-setting=z=1",
            "--env=CFLAGS=-O1",
            "--env=X=y z",
            "--timeout=600",
            "--limit-bytes=5000000000",
            "--limit-depth=9",
            "--sandbox=required",
            "--quiet",
        ]
    );
    assert_eq!(
        action["inputs"],
        json!([
            "sdists/Some.Name_x-1.0.tar.gz",
            "w/setuptools-75-py3-none-any.whl",
            "w/wheel-1-py3-none-any.whl",
            "bazel-out/bin/wheelhouse",
            "bazel-out/bin/pkg/wheel",
            "b.patch",
            "a.patch",
            "vendor",
        ])
    );
}

/// Both ways: what the rules pass and the contract does not have would fail every build; what it has for them and they
/// do not pass could not be asked for.
#[test]
fn the_flags_of_the_rules_are_those_that_the_contract_has_for_them() {
    let limits = ["bytes", "members", "ratio", "depth"].map(|limit| format!("\"{limit}\": \"1\"")).join(", ");
    let script = FULL.replace(r#"{"bytes": "5000000000", "depth": "9"}"#, &format!("{{{limits}}}"));
    let passed: BTreeSet<Flag> = argv(&script)[2..]
        .iter()
        .filter_map(|argument| match Argument::read(argument) {
            Argument::Flag(flag, _) => Some(flag),
            Argument::Source(_) => None,
            Argument::Other => panic!("{argument} is none of the contract's"),
        })
        .collect();
    let for_rules: BTreeSet<Flag> = Flag::ALL.into_iter().filter(|flag| flag.is_for_rules()).collect();
    assert_eq!(passed, for_rules);
    // Else the worker would keep its cache from the action.
    assert!(passed.iter().all(|flag| flag.class() != FlagClass::Machine));
}

/// The file itself, whatever of it a test evaluates.
#[test]
fn no_flag_stands_in_the_rules_that_the_contract_has_not() {
    let emission = both();
    let rules = &emission.files.iter().find(|file| file.path == "defs.bzl").unwrap().text;
    let words = rules.match_indices("\"--").map(|(at, _)| {
        let word = &rules[at + 3..];
        &word[..word.find(|character: char| !character.is_ascii_lowercase() && character != '-').unwrap()]
    });
    let words: BTreeSet<&str> = words.collect();
    assert!(words.contains("out") && words.contains("limit-"), "{words:?}");
    for word in words.iter().filter(|word| **word != "limit-") {
        assert!(Flag::named(word).is_some_and(Flag::is_for_rules), "--{word}");
    }
}

/// By the parser of the step itself.
#[test]
fn the_step_understands_what_the_rules_say() {
    let argv = argv(FULL);
    let step = WheelCommand::augment_args(Command::new(SUBCOMMAND).no_binary_name(true));
    let command = WheelCommand::from_arg_matches(&step.get_matches_from(&argv[2..])).unwrap();
    assert_eq!(command.sdist.to_str(), Some("sdists/Some.Name_x-1.0.tar.gz"));
    assert_eq!(command.config_settings[1].to_string(), "--build-option=100%s");
    assert_eq!((command.timeout, command.limits.depth, command.patch_strip), (Some(600), 9, 0));
    let environment = serde_json::to_value(environment()).unwrap();
    assert_eq!(action(FULL)["env"], environment);
}

#[test]
fn the_platform_says_which_c_library_and_python() {
    assert_eq!(has("wheel(glibc = 'worker')", "--glibc"), None);
    assert_eq!(has("wheel(found = MUSL)", "--glibc"), None);
    assert_eq!(has("wheel(found = PYTHON)", "--python").unwrap(), "--python=3.12");
    assert_eq!(
        has("wheel(found = PYTHON, python = 'python3.12')", "--python").unwrap(),
        "--python=python3.12"
    );
    assert_eq!(has("wheel(glibc = 'worker')", "--expect-libc").unwrap(), "--expect-libc=glibc");
    assert_eq!(has("wheel(found = MUSL)", "--expect-libc").unwrap(), "--expect-libc=musl");
    assert_eq!(has("wheel(found = PYTHON)", "--expect-libc"), None);
    let error = noted("wheel(found = MUSL, glibc = '2.28')", "action").unwrap_err();
    assert!(error.contains("glibc is 2.28, but the target platform //platforms:alpine has musl"), "{error}");
}

/// A wheel of another Python than the platform's would be taken for one of that.
#[test]
fn no_other_python_than_the_platform_s_builds() {
    for other in ["3.11", "3.11.7", "python3.11", "/usr/bin/python3.11"] {
        let error = noted(&format!("wheel(found = PYTHON, python = '{other}')"), "action").unwrap_err();
        let expected = format!("python is {other}, but the target platform //platforms:py has Python 3.12");
        assert!(error.contains(&expected), "{error}");
    }
    // What cannot be told from here is for the step to refuse.
    for values in [
        "python = '3'",
        "python = 'pypy'",
        "python = '/opt/python3/bin/python'",
        "python = '/opt/3.11'",
        "python = 'python3.12'",
        "interpreter = file_target(file('py/bin/python3.11'))",
    ] {
        let script = format!("wheel(found = PYTHON, {values})");
        assert_eq!(has(&script, "--expect-python").as_deref(), Some("--expect-python=3.12"), "{values}");
        assert_eq!(noted(&script, "info").unwrap()["python_tag"], "cp312", "{values}");
    }
    // Where the platform leaves it open, what is claimed of the wheel must hold all the same.
    let script = "wheel(python = '/usr/bin/python3.11')";
    assert_eq!(has(script, "--expect-python").unwrap(), "--expect-python=3.11");
    assert_eq!(noted(script, "info").unwrap()["python_tag"], "cp311");
    assert_eq!(has("wheel()", "--expect-python"), None);
}

#[test]
fn an_interpreter_of_the_build_comes_with_its_files() {
    let script = r#"wheel(interpreter = file_target(
        file("py/bin/python3"), executable = file("py/bin/python3"), runfiles = [file("py/lib/os.py")]))"#;
    let interpreted = action(script);
    assert!(interpreted["argv"].as_array().unwrap().contains(&json!("--python=py/bin/python3")));
    assert_eq!(
        interpreted["inputs"],
        json!(["sdists/Some.Name_x-1.0.tar.gz", "py/bin/python3", "py/lib/os.py"])
    );
    for (values, problem) in [
        (
            "interpreter = file_target(file('a'), file('b'))",
            "//files:files is neither a program nor a single file",
        ),
        ("interpreter = file_target(file('a')), python = '3'", "contradict each other"),
    ] {
        let error = noted(&format!("wheel({values})"), "action").unwrap_err();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn name_and_version_come_from_the_file_name_or_the_attributes() {
    for (file, name, version) in [
        ("cowsay-6.0.tar.gz", "cowsay", "6.0"),
        ("Some._-Name-1.0rc1.zip", "some-name", "1.0rc1"),
        ("zope-interface-5.5.2.tar.bz2", "zope-interface", "5.5.2"),
        ("azure-mgmt-2-1.0.tgz", "azure-mgmt-2", "1.0"),
        ("odd-1.0-2.tar.xz", "odd", "1.0-2"),
        ("odd-1.0-beta.tar.zst", "odd", "1.0-beta"),
        ("a-1!2.0+local.tar", "a", "1!2.0+local"),
    ] {
        let info = noted(&format!("wheel(src = file_target(file('{file}')))"), "info").unwrap();
        assert_eq!((&info["name"], &info["version"]), (&json!(name), &json!(version)), "{file}");
    }
    for file in ["cowsay.tar.gz", "cowsay-6.0.whl", "-1.0.zip", "1.0.zip", ".zip"] {
        let error = noted(&format!("wheel(src = file_target(file('{file}')))"), "info").unwrap_err();
        assert!(error.contains(&format!("file name `{file}`: give project and version")), "{error}");
    }
    let script = "wheel(src = file_target(file('downloaded')), project = 'Cow_Say', version = '6')";
    let info = noted(script, "info").unwrap();
    assert_eq!((&info["name"], &info["version"]), (&json!("cow-say"), &json!("6")));
    assert_eq!(has(script, "--expect-name").unwrap(), "--expect-name=cow-say");
    assert_eq!(has(script, "--expect-version").unwrap(), "--expect-version=6");
}

#[test]
fn the_provider_says_what_to_expect() {
    assert_eq!(
        noted("wheel(python = '3.11')", "info").unwrap(),
        json!({
            "glibc": "2.36",
            "name": "some-name-x",
            "platform_tag": "linux_aarch64",
            "python": "3.11",
            "python_tag": "cp311",
            "report": "report.json",
            "target": "linux_arm64",
            "version": "1.0",
        })
    );
    let info = noted("wheel(python = '/usr/bin/python3', glibc = 'worker')", "info").unwrap();
    assert_eq!((&info["python_tag"], &info["glibc"]), (&Json::Null, &Json::Null));
}

#[test]
fn attributes_that_make_no_sense_are_refused() {
    for (values, problem) in [
        ("limits = {'size': '1'}", "there is no limit `size`, only bytes, depth, members, ratio"),
        (
            "build_wheels = [file_target(file('README.md'))]",
            "README.md of //files:files is neither a wheel nor",
        ),
    ] {
        let error = noted(&format!("wheel({values})"), "action").unwrap_err();
        assert!(error.contains(problem), "{error}");
    }
}

#[test]
fn one_wheel_for_each_platform_is_gathered() {
    let script = r#"
def gathered(*names):
    return analyse(py_wheel_platforms, {}, splits = {
        "wheel": {str(Label("//platforms:" + name)): wheel() for name in names},
    })

def look(infos):
    note("files", [file.path for file in infos[0].files.to_list()])
    note("groups", {name: len(files.to_list()) for name, files in infos[1].groups.items()})
    note("wheels", {platform: info.target for platform, info in infos[2].wheels.items()})

def transitioned():
    definition = inspect(py_wheel_platforms).attrs["wheel"].details["cfg"]
    platforms = [Label("//platforms:linux_arm64")]
    settings = definition.implementation({}, struct(platforms = platforms))
    for outputs in settings.values():
        if sorted(outputs) != sorted(definition.outputs):
            fail("a transition sets what it says")
    note("transition", [sorted(outputs.items())[0][1].lstrip("@") for outputs in settings.values()])
"#;
    let of = |call: &str, kind: &str| noted(&format!("{script}\n{call}"), kind);
    let both = "look(gathered('linux_amd64', 'linux_arm64'))";
    assert_eq!(of(both, "groups").unwrap(), json!({ "linux_amd64": 1, "linux_arm64": 1 }));
    assert_eq!(
        of(both, "wheels").unwrap(),
        json!({ "//platforms:linux_amd64": "linux_arm64", "//platforms:linux_arm64": "linux_arm64" })
    );
    assert_eq!(of("transitioned()", "transition").unwrap(), json!(["//platforms:linux_arm64"]));
    let error = of("gathered('a', 'x/a')", "groups").unwrap_err();
    assert!(error.contains("two are called `a`"), "{error}");
}
