//! Reading, choosing and writing, together.

use std::path::Path;

use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder};
use proptest::prelude::*;

use super::*;
use crate::lock::locked_file::FilePlace;
use crate::lock::pylock::write::{PylockEntry, write_pylock};

/// One of each kind.
const ONE_OF_EACH: &str = r#"
lock-version = "1.0"
environments = ["sys_platform == 'linux'"]
requires-python = ">=3.11"
extras = ["fast"]
dependency-groups = ["dev", "docs"]
default-groups = ["dev"]
created-by = "hand"

[[packages]]
name = "archived"
version = "1.0"
archive = { url = "https://x.invalid/archived.tar.gz#egg=a", hashes = { sha256 = "aa", md5 = "bb" }, subdirectory = "sub" }

[[packages]]
name = "fast-only"
version = "1"
marker = "'fast' in extras"
wheels = [{ url = "https://x.invalid/fast_only-1-py3-none-any.whl", hashes = { sha512 = "cc" } }]

[[packages]]
name = "grouped"
version = "1"
marker = "'dev' in dependency_groups and python_version >= '3.11'"
wheels = [{ path = "w/grouped-1-2-py3-none-any.whl", hashes = {} }, { path = "w/grouped-1-10-py3-none-any.whl", hashes = {} }]

[[packages]]
name = "mac-only"
version = "1"
marker = "sys_platform == 'darwin'"
requires-python = "<3"
wheels = [{ url = "https://x.invalid/mac_only-1-py3-none-any.whl", hashes = {} }]

[[packages]]
name = "repository"
vcs = { type = "git", url = "https://x.invalid/r.git", requested-revision = "v1", commit-id = "0123456789012345678901234567890123456789", subdirectory = "s" }

[[packages]]
name = "tree"
directory = { path = "../tree", editable = true }

[[packages]]
name = "windows-wheel"
version = "1"
wheels = [{ url = "https://x.invalid/windows_wheel-1-cp312-cp312-win_amd64.whl", hashes = {} }]
sdist = { name = "windows_wheel-1.tar.gz", url = "https://x.invalid/download?id=3", size = 7, hashes = { sha256 = "dd" } }
"#;

fn linux() -> MarkerEnvironment {
    MarkerEnvironment::try_from(MarkerEnvironmentBuilder {
        implementation_name: "cpython",
        implementation_version: "3.12.1",
        os_name: "posix",
        platform_machine: "x86_64",
        platform_python_implementation: "CPython",
        platform_release: "",
        platform_system: "Linux",
        platform_version: "",
        python_full_version: "3.12.1",
        python_version: "3.12",
        sys_platform: "linux",
    })
    .unwrap()
}

fn plan(text: &str, selection: &PylockSelection) -> Result<Plan, LockError> {
    let tags = CompatibleTags::new((3, 12), "", "linux_amd64".parse().unwrap(), "2.36".parse().ok());
    let pylock = Pylock::parse(text, Path::new("/p/pylock.toml"))?;
    pylock.plan(selection, &linux(), &tags, &FilePreferences::default())
}

fn lines(selection: &PylockSelection) -> Vec<String> {
    plan(ONE_OF_EACH, selection).unwrap().lines().collect()
}

#[test]
fn each_kind_of_package_is_planned_for_a_target() {
    let expected = [
        "archived==1.0 archived.tar.gz",
        "grouped==1 grouped-1-10-py3-none-any.whl",
        "repository==(dynamic) git:https://x.invalid/r.git?rev=v1&subdirectory=s#0123456789012345678901234567890123456789",
        "tree==(dynamic) local:editable:../tree",
        "windows-wheel==1 windows_wheel-1.tar.gz",
    ];
    assert_eq!(lines(&PylockSelection::default()), expected);
    let plan = plan(ONE_OF_EACH, &PylockSelection::default()).unwrap();
    assert_eq!(plan.packages[0].subdirectory.as_deref(), Some("sub"));
    let FileChoice::Sdist(archive) = &plan.packages[0].choice else { panic!("{:?}", plan.packages[0]) };
    assert_eq!(archive.hash.as_ref().unwrap().to_string(), "sha256:aa");
    assert!(matches!(&plan.packages[4].reason, Reason::NoCompatibleWheel { .. }));
}

#[test]
fn extras_and_groups_are_those_asked_for_or_the_default() {
    let fast = PylockSelection { extras: vec!["fast".parse().unwrap()], groups: Some(Vec::new()) };
    let lines = lines(&fast);
    assert!(lines.contains(&"fast-only==1 fast_only-1-py3-none-any.whl".to_owned()), "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("grouped")), "{lines:?}");
    let misspelled = PylockSelection { extras: vec!["fats".parse().unwrap()], groups: None };
    let error = plan(ONE_OF_EACH, &misspelled).unwrap_err().to_string();
    assert!(error.contains("extra `fats`") && error.contains("did you mean `fast`?"), "{error}");
    let unknown =
        PylockSelection { groups: Some(vec!["doc".parse().unwrap()]), ..PylockSelection::default() };
    assert!(plan(ONE_OF_EACH, &unknown).unwrap_err().to_string().contains("did you mean `docs`?"));
}

#[test]
fn what_does_not_fit_is_an_error_that_says_why() {
    let git = r#"vcs = { type = "hg", url = "https://x.invalid/r", commit-id = "1" }"#;
    for (from, to, expected) in [
        ("lock-version = \"1.0\"", "lock-version = \"2.0\"", "version 2 of the format"),
        ("lock-version = \"1.0\"", "lock-version = \"one\"", "lock-version: `one` is not a version"),
        ("lock-version = \"1.0\"", "", "lock-version: is missing"),
        ("requires-python = \">=3.11\"", "requires-python = \">=3.13\"", "needs Python >=3.13"),
        ("'linux'\"]", "'win32'\"]", "is for sys_platform == 'win32', not for CPython 3.12.1 on linux"),
        ("name = \"tree\"", "name = \"archived\"", "archived 1.0 and archived would both be installed"),
        ("directory = { path = \"../tree\", editable = true }", git, "only git is known"),
        ("commit-id = \"0", "commit-id = \"x0", "is not the id of a commit"),
        ("directory = {", "wheels = []\ndirectory = {", "only one of vcs"),
        ("'fast' in extras", "'fast in extras", "has no end"),
        ("\"<3\"\nwheels", "\"<3\"\nsdist = 1\nwheels", "packages[3].sdist"),
        ("sys_platform == 'darwin'", "sys_platform == 'linux'", "mac-only needs Python <3"),
        ("sdist = { name = \"windows_wheel-1.tar.gz\", url", "sdistx = { url", "no wheel is for this target"),
        ("name = \"windows_wheel-1.tar.gz\"", "name = \"../etc/passwd\"", "no name that a file can have"),
        ("sha256 = \"dd\"", "sha256 = \"not hex\"", "is not ALGORITHM:HEX"),
    ] {
        assert!(ONE_OF_EACH.contains(from), "{from}");
        let error = plan(&ONE_OF_EACH.replacen(from, to, 1), &PylockSelection::default()).unwrap_err();
        assert!(error.to_string().contains(expected), "{from}: {error}");
    }
    // A later minor version only adds.
    let later = ONE_OF_EACH.replace("\"1.0\"\nenv", "\"1.7\"\nnews = 1\nenv");
    assert!(plan(&later, &PylockSelection::default()).is_ok());
}

#[test]
fn what_is_written_is_read_again() {
    let entry = |name: &str, version: &str, file_name: &str, place| PylockEntry {
        name: name.parse().unwrap(),
        version: version.parse().ok(),
        file_name: file_name.to_owned(),
        place,
        hash: "sha256:00ff".parse().unwrap(),
        size: Some(5),
    };
    let url = FilePlace::Url("https://user:secret@x.invalid/b-1%2Bl.tar.gz".parse().unwrap());
    let path = FilePlace::Path("./a-2-py3-none-any.whl".into());
    let entries = [entry("b", "1+l", "b-1+l.tar.gz", url), entry("a", "2", "a-2-py3-none-any.whl", path)];
    let python = ">=3.12,<3.13".parse().unwrap();
    let text =
        write_pylock(&entries, Some(&python), Some("sys_platform == 'linux' and os_name == \"posix\""));
    assert!(!text.contains("secret"), "{text}");
    let reversed: Vec<_> = entries.iter().rev().cloned().collect();
    assert_eq!(
        write_pylock(&reversed, Some(&python), Some("sys_platform == 'linux' and os_name == \"posix\"")),
        text
    );
    let plan = plan(&text, &PylockSelection::default()).unwrap();
    let lines: Vec<_> = plan.lines().collect();
    assert_eq!(lines, ["a==2 a-2-py3-none-any.whl", "b==1+l b-1+l.tar.gz"]);
    let FileChoice::Wheel(wheel) = &plan.packages[0].choice else { panic!("{plan:?}") };
    assert_eq!((wheel.size, wheel.hash.as_ref().unwrap().to_string().as_str()), (Some(5), "sha256:00ff"));
    assert_eq!(wheel.place, FilePlace::Path("./a-2-py3-none-any.whl".into()));
}

proptest! {
    #[test]
    fn a_damaged_file_is_an_error_or_a_plan_and_no_panic(at in 0..ONE_OF_EACH.len(), length in 0..30_usize, with in "\\PC{0,5}") {
        let mut text = ONE_OF_EACH.to_owned();
        text.replace_range(at..(at + length).min(ONE_OF_EACH.len()), &with);
        let _ = plan(&text, &PylockSelection::default());
    }

    #[test]
    fn what_is_written_of_anything_is_read_again(name in "[a-z]{1,9}", file in "[a-z0-9.]{1,20}", path in "\\PC{1,20}") {
        let entry = PylockEntry {
            name: name.parse().unwrap(),
            version: None,
            file_name: format!("x{file}"),
            place: FilePlace::Path(path.clone().into()),
            hash: "sha256:00".parse().unwrap(),
            size: None,
        };
        let plan = plan(&write_pylock(&[entry], None, None), &PylockSelection::default()).unwrap();
        prop_assert!(matches!(&plan.packages[0].choice,
            FileChoice::Sdist(file) if file.place == FilePlace::Path(path.into())));
    }
}
