//! Everything that is generated for a model, as texts by file name. Knows nothing of where they are written.

use super::bazel_platform::{BazelPlatform, all_constraints, bazel_platforms};
use super::marker::HEADER;
use super::model::{BazelModel, BazelVersion};
use super::syntax::{Call, print_items, quote};
use super::{build_file, registration};
use crate::contract::CONTRACT;
use crate::platform::SYSTEM_PATH;

/// The rules; the same for every model.
const RULES: &str = include_str!("defs.bzl");

/// Every path that there is a file for, whatever the model.
pub(super) const PATHS: [&str; 9] = [
    "BUILD.bazel",
    "README.md",
    "crosswheel-4.2.bazelrc",
    "crosswheel.MODULE.bazel",
    "crosswheel.bazelrc",
    "defs.bzl",
    "platforms.bzl",
    UNPLACED_BUILD,
    "workspace.bzl",
];

/// The one file of the package for builds that find no place.
pub(super) const UNPLACED_BUILD: &str = "unplaced/BUILD.bazel";

/// The files of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emission {
    /// In the order of their paths.
    pub files: Vec<GeneratedFile>,
}

/// A file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedFile {
    /// Relative to the package's directory.
    pub path: String,
    pub text: String,
}

impl Emission {
    /// Everything for `model`, which has been [checked](BazelModel::check). The same model makes the same bytes.
    pub fn of(model: &BazelModel) -> Self {
        let places = bazel_platforms(&model.platforms);
        let mut files = vec![
            ("BUILD.bazel", build_file::build_file(model, &places)),
            ("README.md", registration::readme(model, &places)),
            ("crosswheel.bazelrc", registration::bazelrc(model, &places)),
            ("defs.bzl", format!("{HEADER}\n{RULES}")),
            ("platforms.bzl", platforms_bzl(model, &places)),
        ];
        if model.versions.iter().any(|version| version.has_modules()) {
            files.push(("crosswheel.MODULE.bazel", registration::module_file(model, &places)));
        }
        if model.versions.iter().any(|version| version.has_workspace()) {
            files.push(("workspace.bzl", registration::workspace_bzl(model, &places)));
        }
        if model.versions.contains(&BazelVersion::V4_2) {
            files.push(("crosswheel-4.2.bazelrc", registration::bazelrc_4_2(model)));
            files.push((UNPLACED_BUILD, build_file::unplaced_build_file(model, &places)));
        }
        files.sort();
        let file = |(path, text): (&str, String)| GeneratedFile { path: path.to_owned(), text };
        Self { files: files.into_iter().map(file).collect() }
    }
}

/// What the rules know of the model.
fn platforms_bzl(model: &BazelModel, places: &[BazelPlatform]) -> String {
    let names = |place: &BazelPlatform| -> Vec<String> {
        let name = |label: &String| label.rsplit(':').next().unwrap_or_default().to_owned();
        place.constraints.iter().map(name).collect()
    };
    let structs: Vec<String> = places
        .iter()
        .map(|place| {
            let text =
                Call::new("struct").text("name", &place.name).list("constraints", names(place)).print(4);
            text.trim_start().to_owned()
        })
        .collect();
    let constraints: Vec<String> = all_constraints(places).iter().map(|label| quote(label)).collect();
    format!(
        "{HEADER}\n\"\"\"The platforms of this package, and how workers are asked to build for them.\"\"\"\n\n\
         # How `crosswheel wheel` is called. Workers of any version that knows this number will do.\n\
         CROSSWHEEL_CONTRACT = {}\n\n\
         # Where workers look for crosswheel and for a Python.\n\
         WORKER_PATH = {}\n\n\
         # All that a target platform can be asked for.\n\
         CONSTRAINTS = {}\n\n\
         # This package.\n\
         PACKAGE = {}\n\n\
         PLATFORMS = {}\n",
        quote(&CONTRACT.to_string()),
        quote(SYSTEM_PATH),
        print_items('[', ']', &constraints, 0),
        quote(&model.label_prefix()),
        print_items('[', ']', &structs, 0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::starlark::model_file::ModelFile;

    /// What is not in it would never be removed again.
    #[test]
    fn the_paths_are_those_of_a_package_for_every_bazel() {
        let model = ModelFile::default().complete("p".into()).unwrap();
        let emission = Emission::of(&model);
        let paths: Vec<&str> = emission.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, PATHS);
    }
}
