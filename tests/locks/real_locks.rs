//! The lines of every expected file.

use std::path::{Path, PathBuf};

use crate::scene::Case;

/// Below a directory with a folder for each project, the expected files.
fn expected_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for project in fs_err::read_dir(directory).unwrap() {
        let expected = project.unwrap().path().join("expected");
        if expected.is_dir() {
            files.extend(fs_err::read_dir(expected).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    files.sort();
    files
}

/// What is wrong with the plan of an expected file.
fn difference(file: &Path) -> Option<String> {
    let name = file.file_stem().unwrap().to_str().unwrap();
    let project = file.parent().unwrap().parent().unwrap();
    let expected: Vec<_> = fs_err::read_to_string(file).unwrap().lines().map(str::to_owned).collect();
    let planned = match Case::of_name(name).lines(project) {
        Ok(planned) => planned,
        Err(error) => return Some(format!("{}: {error}", file.display())),
    };
    let missing = expected.iter().filter(|line| !planned.contains(line)).map(|line| format!("- {line}"));
    let additional = planned.iter().filter(|line| !expected.contains(line)).map(|line| format!("+ {line}"));
    let lines: Vec<_> = missing.chain(additional).collect();
    (planned != expected).then(|| format!("{}:\n{}", file.display(), lines.join("\n")))
}

#[test]
fn real_locks_are_planned_as_uv_installs_them() {
    let mut files = expected_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/locks/data"));
    assert!(files.len() >= 44, "only {} expected files", files.len());
    if let Some(further) = std::env::var_os("CROSSWHEEL_LOCKS") {
        let named = expected_files(Path::new(&further));
        assert!(!named.is_empty(), "no expected files below {}", further.display());
        files.extend(named);
    }
    let differences: Vec<_> = files.iter().filter_map(|file| difference(file)).collect();
    assert!(
        differences.is_empty(),
        "{} of {}:\n{}",
        differences.len(),
        files.len(),
        differences.join("\n\n")
    );
}
