//! What backends leave behind in the embedded executor, which may have few files open.

use std::path::PathBuf;

use super::run::Place;
use crate::support::deep_trees::{MAKE_DEEP, with_few_descriptors};
use crate::support::packages::Project;
use crate::support::waiting::InTime as _;

#[test]
fn nothing_is_left_of_a_build_that_made_the_deepest_trees() {
    let place = Place::new();
    let runs =
        format!("{MAKE_DEEP}\nimport os, tempfile\nmake_deep(tempfile.gettempdir())\nmake_deep('.', 2000)");
    let project = Project { name: "deep", version: "1.0", runs: &runs, ..Default::default() };
    let sdist = place.write(&project.file_name(), project.sdist());
    let output = with_few_descriptors(&place.command(&[&sdist])).output_in_time();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(place.wheels(), [project.wheel_name()]);
    let left = left_below(&place, &["cache/tmp", "cache/work", "cache/executor/work"]);
    assert_eq!(left, Vec::<PathBuf>::new());
}

/// What lies in these directories.
fn left_below(place: &Place, directories: &[&str]) -> Vec<PathBuf> {
    let entries = |directory: PathBuf| {
        let entries = fs_err::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    directories.iter().flat_map(|directory| entries(place.path(directory))).collect()
}
