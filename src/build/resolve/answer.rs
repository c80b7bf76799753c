//! uv's answer, a pylock.toml, and the one file per package that is right for the target.
//! Knows nothing of how the answer came about or of how files are fetched.

use std::path::Path;

use pep440_rs::Version;
use pep508_rs::{MarkerEnvironment, PackageName};
use url::Url;

use crate::build::index::credentials::without_login;
use crate::contract::{Failure, FailureClass};
use crate::digest::Sha256;
use crate::lock::{
    FileChoice, FilePlace, FilePreferences, LockedFile, Pylock, PylockPackage, PylockSelection, PylockSource,
};
use crate::packaging::compatible_tags::CompatibleTags;

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
    let pylock =
        Pylock::parse(text, Path::new("pylock.toml")).map_err(|error| unreadable(error.to_string()))?;
    let wanted =
        pylock.wanted(&PylockSelection::default(), markers).map_err(|error| unreadable(error.to_string()))?;
    let choose = |package: &PylockPackage| choose_package(&admitted(package, &admits)?, tags);
    wanted.into_iter().map(|(_, package)| choose(package)).collect()
}

/// `package` without the wheels that are not let pass.
fn admitted(
    package: &PylockPackage,
    admits: impl Fn(&PackageName, &ChosenFile) -> bool,
) -> Result<PylockPackage, Failure> {
    let mut package = package.clone();
    if let PylockSource::Files { wheels, .. } = &mut package.source {
        for wheel in std::mem::take(wheels) {
            if admits(&package.name, &chosen_file(wheel.clone())?) {
                wheels.push(wheel);
            }
        }
    }
    Ok(package)
}

fn choose_package(package: &PylockPackage, tags: &CompatibleTags) -> Result<Package, Failure> {
    let PylockPackage { name, version, .. } = package;
    let choice = match package.choose(tags, &FilePreferences::default()) {
        Ok((FileChoice::Wheel(file), _)) => Choice::Wheel(chosen_file(file)?),
        Ok((FileChoice::Sdist(file), _)) => Choice::Sdist(chosen_file(file)?),
        Err(_) if version.is_some() => Choice::NoWheel,
        Ok(_) | Err(_) => {
            let message = format!("the build requirement {name} is neither a wheel nor an sdist");
            return Err(Failure::new(FailureClass::ResolutionFailed, message)
                .with_hint("directories and version control cannot be pinned by hash; use an archive"));
        }
    };
    Ok(Package { name: name.clone(), version: version.clone(), choice })
}

fn chosen_file(file: LockedFile) -> Result<ChosenFile, Failure> {
    let LockedFile { file_name, place, hash, size } = file;
    let url = match place {
        FilePlace::Url(url) => url,
        FilePlace::Path(path) => Url::from_file_path(&path)
            .map_err(|()| unreadable(format!("`{}` is not an absolute path", path.display())))?,
    };
    let sha256 = match hash.filter(|hash| hash.algorithm == "sha256") {
        Some(hash) => Some(hash.hex.parse().map_err(|error| unreadable(format!("{file_name}: {error}")))?),
        None => None,
    };
    let mut url = without_login(&url);
    url.set_fragment(None);
    Ok(ChosenFile { file_name, url, sha256, size })
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
        assert_eq!(names, ["dd", "numpy", "old"]);
        let Choice::Wheel(numpy) = &packages[1].choice else { panic!("{:?}", packages[1]) };
        assert!(numpy.file_name.ends_with("manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl"));
        assert!(numpy.sha256.unwrap().to_string().starts_with("89cd"));
        assert!(matches!(&packages[0].choice, Choice::Sdist(file) if file.url.scheme() == "file"));
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
        let commit = "0123456789".repeat(4);
        let vcs = format!(
            "lock-version = '1.0'\n[[packages]]\nname = 'a'\n\
             vcs = {{ type = 'git', url = 'https://x.example/r', commit-id = '{commit}' }}\n"
        );
        assert!(choose_for_tests(&vcs).unwrap_err().message.contains("neither a wheel nor an sdist"));
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
