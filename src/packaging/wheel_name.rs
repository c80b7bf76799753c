//! File names of wheels (PEP 427). Knows nothing of what is inside the file.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use pep440_rs::Version;
use pep508_rs::PackageName;
use serde::{Deserialize, Serialize};

use super::tag::{Tag, is_tag_part};

/// The parsed file name of a wheel, such as `x-1.0-1-py2.py3-none-any.whl`.
///
/// [`fmt::Display`] gives the text it was parsed from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct WheelFileName {
    /// The project's name, normalised (PEP 503).
    pub name: PackageName,
    /// The version (PEP 440).
    pub version: Version,
    /// The build tag, if the name has six parts. It begins with a digit.
    pub build: Option<String>,
    text: String,
    /// The compressed tag set: Python, ABI and platform parts, each separated by dots.
    compressed: [String; 3],
}

/// Why a text is not the file name of a wheel.
#[derive(Debug, thiserror::Error)]
pub enum InvalidWheelName {
    /// It does not end in `.whl`.
    #[error("`{0}` does not end in .whl")]
    Suffix(String),
    /// It is longer than a file name may be.
    #[error("a wheel file name of {0} bytes is longer than the 255 a file system allows")]
    TooLong(usize),
    /// It has fewer than five or more than six parts.
    #[error(
        "`{text}` has {count} parts separated by `-`; a wheel file name has five, or six with a build tag"
    )]
    Parts {
        /// The name.
        text: String,
        /// How many parts it has.
        count: usize,
    },
    /// One of its parts is malformed.
    #[error("`{part}` in `{text}` is not a valid {kind}")]
    Part {
        /// The name.
        text: String,
        /// What the part should be.
        kind: &'static str,
        /// The part.
        part: String,
    },
}

impl WheelFileName {
    /// Every tag the compressed tag set stands for.
    pub fn tags(&self) -> BTreeSet<Tag> {
        let [pythons, abis, platforms] = &self.compressed;
        let mut tags = BTreeSet::new();
        for python in pythons.split('.') {
            for abi in abis.split('.') {
                tags.extend(platforms.split('.').map(|platform| Tag::new(python, abi, platform)));
            }
        }
        tags
    }
}

impl FromStr for WheelFileName {
    type Err = InvalidWheelName;

    fn from_str(text: &str) -> Result<Self, InvalidWheelName> {
        if text.len() > 255 {
            return Err(InvalidWheelName::TooLong(text.len()));
        }
        let stem = text.strip_suffix(".whl").ok_or_else(|| InvalidWheelName::Suffix(text.to_owned()))?;
        let parts: Vec<&str> = stem.split('-').collect();
        let (name, version, build, tags) = match *parts {
            [name, version, python, abi, platform] => (name, version, None, [python, abi, platform]),
            [name, version, build, python, abi, platform] => {
                (name, version, Some(build), [python, abi, platform])
            }
            _ => return Err(InvalidWheelName::Parts { text: text.to_owned(), count: parts.len() }),
        };
        let invalid =
            |kind, part: &str| InvalidWheelName::Part { text: text.to_owned(), kind, part: part.to_owned() };
        for (kind, part) in ["Python tag", "ABI tag", "platform tag"].into_iter().zip(tags) {
            if !part.split('.').all(is_tag_part) {
                return Err(invalid(kind, part));
            }
        }
        if let Some(build) = build.filter(|build| !is_build_tag(build)) {
            return Err(invalid("build tag (it begins with a digit)", build));
        }
        Ok(Self {
            name: parse_name(name).ok_or_else(|| invalid("project name", name))?,
            version: parse_version(version).ok_or_else(|| invalid("version", version))?,
            build: build.map(str::to_owned),
            text: text.to_owned(),
            compressed: tags.map(str::to_owned),
        })
    }
}

fn parse_name(text: &str) -> Option<PackageName> {
    // pep508_rs takes the empty text for a name.
    (!text.is_empty()).then(|| text.parse().ok())?
}

/// Versions are escaped as names are, each `-` becoming `_` (PEP 427), and `1.0-1` is a version.
fn parse_version(text: &str) -> Option<Version> {
    text.parse().or_else(|_| text.replace('_', "-").parse()).ok()
}

fn is_build_tag(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.+".contains(&byte))
}

impl fmt::Display for WheelFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<WheelFileName> for String {
    fn from(name: WheelFileName) -> Self {
        name.text
    }
}

impl TryFrom<String> for WheelFileName {
    type Error = InvalidWheelName;

    fn try_from(text: String) -> Result<Self, InvalidWheelName> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> WheelFileName {
        text.parse().unwrap()
    }

    fn tags(text: &str) -> Vec<String> {
        parse(text).tags().iter().map(Tag::to_string).collect()
    }

    #[test]
    fn five_parts_have_no_build_tag_and_six_have_one() {
        let plain = parse("Zope.Interface-5.5.2-cp311-cp311-linux_x86_64.whl");
        assert_eq!((plain.name.as_ref(), plain.build.as_deref()), ("zope-interface", None));
        let built = parse("x-1.0-1-py2.py3-none-any.whl");
        assert_eq!((built.build.as_deref(), built.version.to_string()), (Some("1"), "1.0".to_owned()));
        assert_eq!(built.to_string(), "x-1.0-1-py2.py3-none-any.whl");
        assert_eq!(tags("x-1.0-1-py2.py3-none-any.whl"), ["py2-none-any", "py3-none-any"]);
    }

    #[test]
    fn compressed_tags_are_expanded_in_all_three_parts() {
        let name = "ninja-1.13.0-py2.py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl";
        assert_eq!(tags(name).len(), 4);
        assert!(tags(name).contains(&"py3-none-manylinux2014_x86_64".to_owned()));
    }

    #[test]
    fn escaped_versions_are_understood() {
        assert_eq!(parse("a-1.0_1-py3-none-any.whl").version.to_string(), "1.0.post1");
        assert_eq!(parse("a-1.0+ubuntu.1-py3-none-any.whl").version.to_string(), "1.0+ubuntu.1");
        assert_eq!(parse("a-1!2.0rc1-py3-none-any.whl").version.to_string(), "1!2.0rc1");
    }

    #[test]
    fn malformed_names_are_refused_with_the_part_that_is_wrong() {
        for (text, expected) in [
            ("a-1.0-py3-none-any.zip", "does not end in .whl"),
            ("whl.whl", "has 1 parts"),
            ("a-1-2-3-py3-none-any.whl", "has 7 parts"),
            ("a-1.0-py3-none.whl", "has 4 parts"),
            ("a-1.0-x1-py3-none-any.whl", "`x1` in `a-1.0-x1-py3-none-any.whl` is not a valid build tag"),
            ("-1.0-py3-none-any.whl", "project name"),
            ("../a-1.0-py3-none-any.whl", "project name"),
            ("a-one-py3-none-any.whl", "not a valid version"),
            ("a-1.0-py3.-none-any.whl", "Python tag"),
            ("a-1.0-py3-no/ne-any.whl", "ABI tag"),
            ("a-1.0-py3-none-.whl", "platform tag"),
            (&format!("{}-1.0-py3-none-any.whl", "a".repeat(300)), "longer than the 255"),
        ] {
            let error = text.parse::<WheelFileName>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC*") {
            let _ = text.parse::<WheelFileName>();
            let _ = format!("{text}.whl").parse::<WheelFileName>();
            let _ = text.parse::<Tag>();
        }

        #[test]
        fn what_looks_like_a_name_never_panics_and_round_trips(
            text in "[a-z_.]{0,4}-[0-9_.a-z+!]{0,6}(-[0-9a-z]{0,2})?-[a-z0-9.]{0,6}-[a-z0-9.]{0,6}-[a-z0-9_.]{0,9}\\.whl"
        ) {
            if let Ok(name) = text.parse::<WheelFileName>() {
                prop_assert_eq!(name.to_string(), text);
                prop_assert!(!name.tags().is_empty());
            }
        }
    }
}
