//! Locks that are damaged or hostile: errors with file, line and key, and never a panic.

use std::path::Path;

use crosswheel::lock::{Closure, Configuration, FilePreferences, Graph, Lock, Plan, Project, Root};
use crosswheel::packaging::compatible_tags::CompatibleTags;
use proptest::prelude::*;

use crate::workspace::{Workspace, amd64};

const LOCK: &str = r#"version = 1
revision = 3
requires-python = ">=3.10"
resolution-markers = ["sys_platform == 'linux'", "sys_platform != 'linux'"]
conflicts = [[{ package = "app", extra = "cpu" }, { package = "app", group = "g" }]]

[manifest]
members = ["app"]
build-constraints = [{ name = "setuptools", specifier = "<70" }]

[manifest.dependency-groups]
lint = [{ name = "p", marker = "sys_platform == 'linux'" }]

[[package]]
name = "app"
source = { editable = "." }
dependencies = [
    { name = "p", extra = ["x"], marker = "extra == 'extra-3-app-cpu' or (os_name == 'posix' and extra != 'group-3-app-g')" },
]

[package.optional-dependencies]
cpu = [{ name = "q" }]

[package.dev-dependencies]
g = [{ name = "q" }]

[package.metadata]
provides-extras = ["cpu"]

[[package]]
name = "p"
version = "1.0"
source = { registry = "https://index.invalid/simple" }
sdist = { url = "https://files.invalid/p-1.0.tar.gz", hash = "sha256:0a", size = 3 }
wheels = [
    { url = "https://files.invalid/p-1.0-1-cp312-cp312-manylinux_2_17_x86_64.whl", hash = "sha256:0a" },
]

[package.optional-dependencies]
x = [{ name = "app" }]

[[package]]
name = "q"
version = "2"
source = { git = "https://git.invalid/q?rev=1#7fc59da2c4dff919db2095a0f0e47101b657131d" }
"#;

/// Everything that is done with a lock, for everything of its first three records.
fn use_up(text: &str) {
    let Ok(lock) = Lock::parse(text, Path::new("uv.lock")) else { return };
    let roots = lock.records().take(3).map(|(record, found)| Root {
        record,
        extras: found.optional_dependencies.keys().cloned().collect(),
        groups: found.dependency_groups.keys().cloned().collect(),
    });
    let mut configuration = Configuration {
        roots: roots.collect(),
        manifest_groups: lock.manifest().dependency_groups.keys().cloned().collect(),
        ..Configuration::default()
    };
    let tags = CompatibleTags::new((3, 12), "", "linux_amd64".parse().unwrap(), "2.36".parse().ok());
    for only_groups in [false, true] {
        configuration.only_groups = only_groups;
        if let Ok(closure) = Closure::of(&Graph::of(&lock), &configuration, &amd64())
            && let Ok(plan) = Plan::of(&lock, &closure, &tags, &FilePreferences::default())
        {
            assert!(plan.lines().count() <= lock.records().len());
        }
    }
}

#[test]
fn what_is_wrong_has_a_file_a_line_and_a_key() {
    assert!(Lock::parse(LOCK, Path::new("uv.lock")).is_ok());
    for (old, new, said) in [
        ("version = 1\n", "", "uv.lock:1: version: is missing"),
        ("version = 1\n", "version = \"1\"\n", "uv.lock:1: version: an integer is expected, not a string"),
        (">=3.10", "3.10 or so", "uv.lock:3: requires-python: "),
        ("'linux'\", \"", "linux\", \"", "uv.lock:4: resolution-markers[0]: "),
        (
            "group = \"g\" }",
            "group = \"g\", extra = \"e\" }",
            "uv.lock:5: conflicts[0][1]: is both an extra and a group",
        ),
        (
            "members = [\"app\"]",
            "members = [1]",
            "uv.lock:8: manifest.members[0]: a string is expected, not an integer",
        ),
        ("\"<70\"", "\"70\"", "uv.lock:9: manifest.build-constraints[0].specifier: "),
        (
            "lint = [{ name = \"p\"",
            "lint = [{ name = \"r\"",
            "uv.lock:12: manifest.dependency-groups.lint[0]: there is no package `r`",
        ),
        ("name = \"app\"\nsource", "source", "uv.lock:14: package[0].name: is missing"),
        (
            "name = \"app\"\nsource",
            "name = \"\"\nsource",
            "uv.lock:15: package[0].name: a name cannot be empty",
        ),
        ("editable", "edible", "uv.lock:16: package[0].source: is none of the known sources: registry, "),
        ("(os_name", "os_name", "uv.lock:18: package[0].dependencies[0].marker: a `)` has no `(`"),
        ("cpu = [{ name = \"q\" }]", "\"-\" = []", "uv.lock:22: package[0].optional-dependencies.-: "),
        ("g = [{ name", "g = [{ nam", "uv.lock:25: package[0].dev-dependencies.g[0].name: is missing"),
        ("\"1.0\"\nsource", "\"one\"\nsource", "uv.lock:32: package[1].version: "),
        ("https://index", "https://[index", "uv.lock:33: package[1].source.registry: "),
        (
            "url = \"https://files.invalid/p-1.0.tar.gz\", ",
            "",
            "uv.lock:34: package[1].sdist: has neither `url` nor `path`",
        ),
        (
            "sha256:0a\", size",
            "sha256\", size",
            "uv.lock:34: package[1].sdist.hash: `sha256` is not ALGORITHM:HEX",
        ),
        (
            "p-1.0-1-cp312",
            "%2Fp-1.0-1-cp312",
            "uv.lock:36: package[1].wheels[0]: does not end in the name of a file",
        ),
        ("#7fc59", "#main", "uv.lock:45: package[2].source.git: has no commit after `#`"),
        (
            "name = \"q\"\nversion = \"2\"\n",
            "name = \"q\"\nversion = \"2\"\nversion = \"2\"\n",
            "uv.lock:45: ",
        ),
        (
            "[[package]]\nname = \"q\"\nversion = \"2\"\nsource = { git = \"https://git.invalid/q?rev=1#7fc59da2c4dff919db2095a0f0e47101b657131d\" }",
            "[[package]]\nname = \"p\"\nversion = \"1\"\nsource = { registry = \"https://index.invalid/simple\" }",
            "uv.lock:42: package[2]: p 1 from registry https://index.invalid/simple is there twice",
        ),
    ] {
        assert!(LOCK.contains(old), "{old}");
        let error = Lock::parse(&LOCK.replacen(old, new, 1), Path::new("uv.lock")).unwrap_err();
        assert!(error.to_string().starts_with(said), "{old} -> {new}: {error}");
        assert_eq!(error.hint().as_deref(), Some("write it again with `uv lock`"));
    }
}

#[test]
fn depth_costs_no_stack() {
    for text in [
        format!("version = 1\na = {}{}\n", "[".repeat(100_000), "]".repeat(100_000)),
        format!("version = 1\n{} = 1\n", vec!["a"; 100_000].join(".")),
        format!("{}{}", LOCK.replacen("version = 1\n", "version = 1\nb = ", 1), "{a=".repeat(50_000)),
    ] {
        assert!(Lock::parse(&text, Path::new("uv.lock")).is_err());
    }
    let mut chain = String::from("version = 1\n");
    for at in 0..20_000 {
        let next = (at + 1) % 20_000;
        chain.push_str(&format!(
            "[[package]]\nname = \"p{at}\"\nversion = \"1\"\nsource = {{ virtual = \"p{at}\" }}\ndependencies = [{{ name = \"p{next}\" }}]\n"
        ));
    }
    use_up(&chain);
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("uv.lock");
    fs_err::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let error = Lock::read(&path).unwrap_err().to_string();
    assert!(error.contains("has 1099511627776 bytes; more than 67108864 are not read"), "{error}");
    fs_err::write(&path, b"version = 1\n\xff").unwrap();
    assert!(Lock::read(&path).unwrap_err().to_string().contains("cannot be read"));
}

/// What could come in place of something else.
const PIECES: [&str; 22] = [
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "=",
    ",",
    "\n",
    "(",
    ")",
    " and ",
    " or ",
    "extra == 'x'",
    "[[package]]",
    "name = \"p\"",
    "\u{0}",
    "é",
    "-",
    "0",
    "%00",
    "https://[",
];

proptest! {
    #[test]
    fn a_damaged_lock_is_used_or_refused(
        changes in prop::collection::vec((0..LOCK.len(), 0..12_usize, 0..PIECES.len()), 1..4)
    ) {
        let mut text = LOCK.to_owned();
        for (at, length, piece) in changes {
            let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let end = (at + length).min(text.len());
            let end = (end..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
            text.replace_range(at..end, PIECES[piece]);
        }
        use_up(&text);
    }

    /// Whole lines that come twice, or elsewhere.
    #[test]
    fn a_lock_with_other_lines_is_used_or_refused(order in prop::collection::vec(0..46_usize, 1..60)) {
        let lines: Vec<_> = LOCK.lines().collect();
        let text: Vec<_> = order.into_iter().filter_map(|at| lines.get(at).copied()).collect();
        use_up(&format!("version = 1\n{}", text.join("\n")));
    }

    #[test]
    fn any_text_is_used_or_refused(text in "\\PC{0,200}") {
        use_up(&text);
    }
}

#[test]
fn a_damaged_lock_of_the_workspace_is_not_taken_for_none() {
    let root = "[project]\nname = \"root\"\n[tool.uv.workspace]\nmembers = [\"member\"]\n";
    let workspace = Workspace::new(&[
        ("pyproject.toml", root),
        ("member/pyproject.toml", "[project]\nname = \"member\"\n"),
        ("uv.lock", "version = 1\nrequires-python = ["),
    ]);
    let error = Project::open(&workspace.path().join("member")).err().unwrap().to_string();
    assert!(error.contains("uv.lock") && !error.contains("member"), "{error}");
}
