//! File names of sdists (PEP 625, and what came before it). Knows nothing of what is inside the file.

use std::str::FromStr;

use pep440_rs::Version;
use pep508_rs::PackageName;

/// Ends of file names, best first.
const SDIST_SUFFIXES: [&str; 7] = [".tar.gz", ".tgz", ".zip", ".tar.xz", ".tar.bz2", ".tar.zst", ".tar"];

/// The version in the sdist file name `file_name` if it is one of `project`, and how good its
/// archive format is (lower is better). Names may be unnormalised and contain dashes.
pub fn sdist_version(file_name: &str, project: &PackageName) -> Option<(Version, usize)> {
    let (stem, preference) = sdist_stem(file_name)?;
    stem.match_indices('-').find_map(|(dash, _)| {
        let name = PackageName::from_str(&stem[..dash]).ok()?;
        let version = Version::from_str(&stem[dash + 1..]).ok()?;
        (name == *project).then_some((version, preference))
    })
}

/// Name and version in the sdist file name `file_name`, if it has both: the last dash that leaves a
/// version divides them.
pub fn sdist_name_and_version(file_name: &str) -> Option<(PackageName, Version)> {
    let (stem, _) = sdist_stem(file_name)?;
    stem.rmatch_indices('-').find_map(|(dash, _)| {
        Some((PackageName::from_str(&stem[..dash]).ok()?, Version::from_str(&stem[dash + 1..]).ok()?))
    })
}

fn sdist_stem(file_name: &str) -> Option<(&str, usize)> {
    SDIST_SUFFIXES
        .iter()
        .enumerate()
        .find_map(|(preference, suffix)| Some((file_name.strip_suffix(suffix)?, preference)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sdist_names_with_dashes_and_capitals_are_recognised() {
        let name = |text: &str| PackageName::from_str(text).unwrap();
        let version = |file: &str, project: &str| {
            sdist_version(file, &name(project)).map(|(version, _)| version.to_string())
        };
        assert_eq!(version("Zope.Interface-5.5.2.tar.gz", "zope-interface").as_deref(), Some("5.5.2"));
        assert_eq!(version("backports-abc-0.5.zip", "backports-abc").as_deref(), Some("0.5"));
        assert_eq!(version("backports-abc-0.5.zip", "backports"), None);
        assert_eq!(version("cowsay-6.0-py3-none-any.whl", "cowsay"), None);
        let (project, version) = sdist_name_and_version("backports-abc-0.5.tar.gz").unwrap();
        assert_eq!((project.to_string().as_str(), version.to_string().as_str()), ("backports-abc", "0.5"));
    }
}
