//! How tests are written: none waits without an end, and none is forgotten.

use std::path::{Path, PathBuf};

/// Waits without a deadline, as they are spelled. `support/waiting.rs` has one with a deadline for each.
const ENDLESS: [&str; 14] = [
    ".message().await",
    ".output()",
    ".park()",
    ".recv().",
    ".spawn()",
    ".status()",
    ".wait()",
    ".wait(None)",
    "read_line(",
    "thread::scope(",
    "thread::sleep(",
    "time::sleep(",
    "wait_with_output",
    "thread::yield_now()",
];

/// What they are spelled in for other ends.
const ALLOWED: [(&str, &str); 4] = [
    ("tests/support/waiting.rs", ""),
    ("tests/house/suites.rs", ""),
    // Its threads only wait for commands, each of which has a deadline.
    ("tests/corpus/main.rs", "thread::scope("),
    // So that threads meet, which is no wait.
    ("src/cas", "thread::yield_now()"),
];

#[test]
fn every_wait_has_a_deadline() {
    let mut endless = Vec::new();
    for path in sources(&repository().join("tests")).into_iter().chain(sources(&repository().join("src"))) {
        let name = path.strip_prefix(repository()).unwrap().to_str().unwrap().to_owned();
        for (line, code) in statements_of_tests(&name, &fs_err::read_to_string(&path).unwrap()) {
            // Python's, in commands whose end is waited for here.
            let code = code.replace("os.wait()", "");
            let found = ENDLESS.iter().filter(|wait| code.contains(**wait) && !is_allowed(&name, wait));
            endless.extend(found.map(|wait| format!("{name}:{line}: {wait}")));
        }
    }
    assert!(endless.is_empty(), "use tests/support/waiting.rs instead:\n{}", endless.join("\n"));
}

fn is_allowed(name: &str, wait: &str) -> bool {
    ALLOWED.iter().any(|(file, allowed)| name.starts_with(file) && wait.contains(allowed))
}

/// The lines of a file that are tests, with their numbers; a call that begins a line is joined with what it is a call
/// of.
fn statements_of_tests(name: &str, text: &str) -> Vec<(usize, String)> {
    let all = name.starts_with("tests/") || name.contains("/tests/") || name.ends_with("/tests.rs");
    let start = if all { Some(0) } else { text.find("#[cfg(test)]\nmod tests {") };
    let Some(start) = start else { return Vec::new() };
    let mut statements: Vec<(usize, String)> = Vec::new();
    for (number, line) in (text[..start].lines().count() + 1..).zip(text[start..].lines()) {
        match (statements.last_mut(), line.trim_start().starts_with('.')) {
            (Some((_, statement)), true) => *statement += line.trim(),
            _ => statements.push((number, line.trim().to_owned())),
        }
    }
    statements
}

/// A file of tests that nobody declares as a module compiles, and passes.
#[test]
fn every_file_of_tests_belongs_to_a_binary() {
    let tests = repository().join("tests");
    for path in sources(&tests) {
        let (name, directory) = (path.file_stem().unwrap().to_str().unwrap(), path.parent().unwrap());
        assert_ne!(directory, tests, "{}: tests are in the directory of their room", path.display());
        let (module, declared_in) = match name {
            "main" => continue,
            "mod" => (directory.file_name().unwrap().to_str().unwrap(), directory.parent().unwrap()),
            name => (name, directory),
        };
        let declares = |parent: &Path| {
            let declaration = format!("mod {module};");
            let lines = fs_err::read_to_string(parent).unwrap_or_default();
            lines.lines().any(|line| line.trim_start_matches("pub ") == declaration)
        };
        let is_support = declared_in == tests && module == "support";
        let parents = ["mod.rs", "main.rs"].map(|parent| declared_in.join(parent));
        assert!(
            is_support || parents.iter().any(|parent| declares(parent)),
            "{}: no `mod {module};`",
            path.display()
        );
    }
}

/// Those that take a root file system or an index are run by `.ci/run`.
#[test]
fn what_plain_cargo_test_leaves_out_is_run_by_ci() {
    let text = fs_err::read_to_string(repository().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    assert!(
        !manifest["package"].as_table().unwrap().contains_key("autotests"),
        "cargo finds each tests/*/main.rs"
    );
    let targets = manifest["test"].as_array().unwrap();
    let left_out = targets.iter().filter(|target| target.get("test") == Some(&toml::Value::Boolean(false)));
    let ci = fs_err::read_to_string(repository().join(".ci/run")).unwrap();
    for target in left_out {
        let option = format!("--test {}", target["name"].as_str().unwrap());
        assert!(ci.lines().any(|line| line.contains(&option)), "no {option}");
    }
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All `*.rs` below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs_err::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let (directories, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let here = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    here.chain(directories.iter().flat_map(|directory| sources(directory))).collect()
}

/// Nothing else compiles the fuzzer.
#[test]
fn files_that_benchmarks_and_the_fuzzer_take_from_the_tests_are_there() {
    let mut taken = 0;
    for path in sources(&repository().join("benches"))
        .into_iter()
        .chain(sources(&repository().join("fuzz/fuzz_targets")))
    {
        for line in fs_err::read_to_string(&path).unwrap().lines() {
            let Some(file) = line.trim().strip_prefix("#[path = \"") else { continue };
            let file = path.parent().unwrap().join(file.trim_end_matches("\"]"));
            assert!(file.is_file(), "{} takes {}", path.display(), file.display());
            taken += 1;
        }
    }
    assert!(taken >= 4, "{taken} files");
}
