//! uv's answer (pylock.toml, PEP 751), and the one file per package that is right for the target.
//! Knows nothing of how the answer came about or of how files are fetched.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use pep440_rs::Version;
use pep508_rs::{MarkerEnvironment, MarkerTree, PackageName};
use serde::Deserialize;
use url::Url;

use crate::build::index::credentials::without_login;
use crate::build::index::download::file_name_of;
use crate::contract::{Failure, FailureClass};
use crate::digest::Sha256;
use crate::packaging::compatible_tags::CompatibleTags;
use crate::packaging::wheel_name::WheelFileName;

/// A file of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenFile {
    /// The file's name.
    pub file_name: String,
    /// Where it is; logins are kept aside by whoever parsed the settings.
    pub url: Url,
    /// SHA-256, if the index told it.
    pub sha256: Option<Sha256>,
    /// Bytes, if the index told how many.
    pub size: Option<u64>,
}

/// How a package of the answer is to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This wheel.
    Wheel(ChosenFile),
    /// Built from this sdist.
    Sdist(ChosenFile),
    /// Built from an sdist that must be looked up: no wheel of the answer is compatible.
    NoWheel,
}

/// A package of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Normalised name.
    pub name: PackageName,
    /// The version.
    pub version: Option<Version>,
    /// How it is to be had.
    pub choice: Choice,
}

#[derive(Deserialize)]
struct Pylock {
    #[serde(rename = "lock-version")]
    lock_version: String,
    #[serde(default)]
    packages: Vec<PylockPackage>,
}

#[derive(Deserialize)]
struct PylockPackage {
    name: String,
    version: Option<String>,
    marker: Option<String>,
    #[serde(default)]
    wheels: Vec<PylockFile>,
    sdist: Option<PylockFile>,
    archive: Option<PylockFile>,
}

#[derive(Deserialize)]
struct PylockFile {
    name: Option<String>,
    url: Option<String>,
    path: Option<String>,
    size: Option<u64>,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
}

/// Reads `text` and chooses, for each package whose marker holds, the best file for `tags`.
pub fn choose(
    text: &str,
    tags: &CompatibleTags,
    markers: &MarkerEnvironment,
) -> Result<Vec<Package>, Failure> {
    choose_among(text, tags, markers, |_, _| true)
}

/// The same, of those wheels that `admits` lets pass.
pub fn choose_among(
    text: &str,
    tags: &CompatibleTags,
    markers: &MarkerEnvironment,
    admits: impl Fn(&PackageName, &ChosenFile) -> bool,
) -> Result<Vec<Package>, Failure> {
    let pylock: Pylock = toml::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    if pylock.lock_version.split('.').next() != Some("1") {
        return Err(unreadable(format!("lock-version {} is not 1", pylock.lock_version)));
    }
    let mut packages = Vec::new();
    for package in pylock.packages {
        if let Some(marker) = &package.marker {
            let marker = MarkerTree::from_str(marker).map_err(|error| unreadable(error.to_string()))?;
            if !marker.evaluate(markers, &[]) {
                continue;
            }
        }
        packages.push(choose_package(package, tags, &admits)?);
    }
    Ok(packages)
}

fn choose_package(
    package: PylockPackage,
    tags: &CompatibleTags,
    admits: &impl Fn(&PackageName, &ChosenFile) -> bool,
) -> Result<Package, Failure> {
    let name = PackageName::from_str(&package.name).map_err(|error| unreadable(error.to_string()))?;
    let version = match &package.version {
        Some(text) => Some(Version::from_str(text).map_err(|error| unreadable(error.to_string()))?),
        None => None,
    };
    let choice = match package.archive {
        Some(archive) => {
            let file = chosen_file(archive)?;
            if file.file_name.ends_with(".whl") { Choice::Wheel(file) } else { Choice::Sdist(file) }
        }
        None => match (best_wheel(package.wheels, tags, |file| admits(&name, file))?, package.sdist) {
            (Some(wheel), _) => Choice::Wheel(wheel),
            (None, Some(sdist)) => Choice::Sdist(chosen_file(sdist)?),
            (None, None) if version.is_some() => Choice::NoWheel,
            (None, None) => {
                let message = format!("the build requirement {name} is neither a wheel nor an sdist");
                return Err(Failure::new(FailureClass::ResolutionFailed, message)
                    .with_hint("directories and version control cannot be pinned by hash; use an archive"));
            }
        },
    };
    Ok(Package { name, version, choice })
}

/// The wheel the target likes best; among equals the one with the highest build number (PEP 427).
fn best_wheel(
    wheels: Vec<PylockFile>,
    tags: &CompatibleTags,
    admits: impl Fn(&ChosenFile) -> bool,
) -> Result<Option<ChosenFile>, Failure> {
    let mut candidates = Vec::new();
    for wheel in wheels {
        let file = chosen_file(wheel)?;
        let Ok(name) = WheelFileName::from_str(&file.file_name) else { continue };
        let Some(rank) = tags.rank(&name).filter(|_| admits(&file)) else { continue };
        candidates.push((rank, Reverse(build_order(name.build.as_deref())), file));
    }
    candidates
        .sort_by(|(a_rank, a_build, _), (b_rank, b_build, _)| (a_rank, a_build).cmp(&(b_rank, b_build)));
    Ok(candidates.into_iter().next().map(|(_, _, file)| file))
}

fn build_order(build: Option<&str>) -> (u64, String) {
    let build = build.unwrap_or_default();
    let digits = build.find(|character: char| !character.is_ascii_digit()).unwrap_or(build.len());
    (build[..digits].parse().unwrap_or(0), build[digits..].to_owned())
}

fn chosen_file(file: PylockFile) -> Result<ChosenFile, Failure> {
    let url = match (&file.url, &file.path) {
        (Some(url), _) => {
            url.parse().map_err(|error| unreadable(format!("`{url}` is not a URL: {error}")))?
        }
        (None, Some(path)) => Url::from_file_path(PathBuf::from(path))
            .map_err(|()| unreadable(format!("`{path}` is not an absolute path")))?,
        (None, None) => return Err(unreadable("a file has neither `url` nor `path`".into())),
    };
    let file_name = match file.name {
        Some(name) => {
            crate::build::index::download::check_file_name(&name)?;
            name
        }
        None => file_name_of(&url)?,
    };
    let sha256 = match file.hashes.get("sha256") {
        Some(digest) => Some(digest.parse().map_err(|error| unreadable(format!("{file_name}: {error}")))?),
        None => None,
    };
    let mut url = without_login(&url);
    url.set_fragment(None);
    Ok(ChosenFile { file_name, url, sha256, size: file.size })
}

fn unreadable(reason: String) -> Failure {
    let message = format!("uv's pylock.toml cannot be read: {reason}");
    Failure::new(FailureClass::ResolutionFailed, message).with_hint("uv 0.8 or newer is needed; update it")
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::packaging::interpreter::Interpreter;

    // Recorded from uv 0.13.8, shortened.
    const RECORDED: &str = r#"
lock-version = "1.0"
created-by = "uv"
requires-python = ">=3.11.7"

[[packages]]
name = "numpy"
version = "2.4.6"
wheels = [
  { url = "https://files.example/numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", upload-time = 2026-05-18T23:33:29Z, hashes = { sha256 = "89cd468399cfd2504718f0ba50e410dca55a170b61a02ad92bb18c8a65186e93" } },
  { url = "https://files.example/numpy-2.4.6-cp311-cp311-manylinux_2_40_x86_64.whl", size = 3, hashes = { sha256 = "99cd468399cfd2504718f0ba50e410dca55a170b61a02ad92bb18c8a65186e93" } },
  { url = "https://files.example/numpy-2.4.6-cp312-cp312-manylinux_2_27_x86_64.whl", hashes = { sha256 = "79cd468399cfd2504718f0ba50e410dca55a170b61a02ad92bb18c8a65186e93" } },
]

[[packages]]
name = "dd"
version = "1.0"
archive = { path = "/w/dd-1.0.tar.gz", hashes = { sha256 = "6ad48c11d30f4ce65a8cbe326ff418494107410257aef3e7531e6835a9535d00" } }

[[packages]]
name = "colorama"
version = "0.4.6"
marker = "sys_platform == 'win32'"
wheels = [{ url = "https://files.example/colorama-0.4.6-py3-none-any.whl", hashes = {} }]

[[packages]]
name = "old"
version = "1.0"
wheels = [{ url = "https://files.example/old-1.0-cp39-cp39-manylinux_2_17_x86_64.whl", hashes = {} }]
"#;

    fn choose_for_tests(text: &str) -> Result<Vec<Package>, Failure> {
        static MARKERS: LazyLock<MarkerEnvironment> = LazyLock::new(|| {
            let cache = tempfile::tempdir().unwrap();
            Interpreter::find("3", cache.path()).unwrap().markers
        });
        let (target, glibc) = ("linux_amd64".parse().unwrap(), "2.36".parse().ok());
        choose(text, &CompatibleTags::new((3, 11), "", target, glibc), &MARKERS)
    }

    #[test]
    fn the_best_wheel_for_the_target_is_chosen_and_markers_are_evaluated() {
        let packages = choose_for_tests(RECORDED).unwrap();
        let names: Vec<_> = packages.iter().map(|package| package.name.to_string()).collect();
        assert_eq!(names, ["numpy", "dd", "old"]);
        let Choice::Wheel(numpy) = &packages[0].choice else { panic!("{:?}", packages[0]) };
        assert!(numpy.file_name.ends_with("manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl"));
        assert!(numpy.sha256.unwrap().to_string().starts_with("89cd"));
        assert!(matches!(&packages[1].choice, Choice::Sdist(file) if file.url.scheme() == "file"));
        assert_eq!(packages[2].choice, Choice::NoWheel);
    }

    #[test]
    fn the_highest_build_number_wins_among_equals() {
        let text = r#"
lock-version = "1.0"
[[packages]]
name = "a"
version = "1"
wheels = [{ url = "https://x.example/a-1-9-py3-none-any.whl" }, { url = "https://x.example/a-1-10-py3-none-any.whl" },
          { url = "https://x.example/a-1-py3-none-any.whl" }]
"#;
        let packages = choose_for_tests(text).unwrap();
        assert!(matches!(&packages[0].choice, Choice::Wheel(file) if file.file_name.contains("-10-")));
    }

    #[test]
    fn what_is_not_a_lock_of_version_one_is_refused() {
        for text in ["", "lock-version = '2.0'", "lock-version = '1.0'\npackages = [{name = ''}]"] {
            let failure = choose_for_tests(text).unwrap_err();
            assert_eq!(failure.class, FailureClass::ResolutionFailed, "{text}");
        }
        let vcs = "lock-version = '1.0'\n[[packages]]\nname = 'a'\nvcs = { type = 'git' }\n";
        assert!(choose_for_tests(vcs).unwrap_err().message.contains("neither a wheel nor an sdist"));
    }

    proptest! {
        #[test]
        fn a_damaged_answer_is_an_error_and_no_panic(at in 0..RECORDED.len(), with in ".{0,3}") {
            let mut text = RECORDED.to_owned();
            text.replace_range(at..=at, &with);
            let _ = choose_for_tests(&text);
        }
    }
}
