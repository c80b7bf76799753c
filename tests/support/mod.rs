//! What tests of several rooms share. Each binary of tests has it as a module.
#![allow(dead_code, reason = "no binary uses all of it")]

pub mod arm64_root;
pub mod certificates;
pub mod client;
pub mod deep_trees;
pub mod foreign_program;
pub mod packages;
pub mod processes;
pub mod server;
pub mod waiting;
pub mod worker;

use std::path::Path;

/// A directory that builds can see, to be told by a file in it to go on: not below those that sandboxes have of their
/// own, where the build directory may be.
pub fn visible_directory() -> tempfile::TempDir {
    let cache = std::env::home_dir().unwrap().join(".cache");
    let is_visible = |place: &Path| !["/tmp", "/var/tmp", "/run"].iter().any(|own| place.starts_with(own));
    let places = [Path::new(env!("CARGO_TARGET_TMPDIR")), &cache];
    let place = places.into_iter().find(|place| is_visible(place)).expect("a place that sandboxes can see");
    fs_err::create_dir_all(place).unwrap();
    tempfile::tempdir_in(place).unwrap()
}
