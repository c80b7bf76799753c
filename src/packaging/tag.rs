//! Compatibility tags of wheels (PEP 425), and what the platform of a tag says of glibc (PEP 600).
//! Knows nothing of file names, nor of who accepts which tag.

use std::fmt;
use std::str::FromStr;

use crate::platform::{Arch, Glibc};

/// One expanded compatibility tag, such as `cp311-cp311-linux_x86_64`; always lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    python: String,
    abi: String,
    platform: String,
}

/// A text that is not `PYTHON-ABI-PLATFORM`.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a compatibility tag such as cp311-cp311-linux_x86_64")]
pub struct InvalidTag(String);

impl Tag {
    /// The tag of these three parts, in lower case.
    pub fn new(python: &str, abi: &str, platform: &str) -> Self {
        Self {
            python: python.to_ascii_lowercase(),
            abi: abi.to_ascii_lowercase(),
            platform: platform.to_ascii_lowercase(),
        }
    }

    /// The Python part, such as `cp311` or `py3`.
    pub fn python(&self) -> &str {
        &self.python
    }

    /// The ABI part, such as `cp311`, `abi3` or `none`.
    pub fn abi(&self) -> &str {
        &self.abi
    }

    /// The platform part, such as `linux_x86_64`, `manylinux_2_17_aarch64` or `any`.
    pub fn platform(&self) -> &str {
        &self.platform
    }

    /// Whether a wheel with this tag claims to hold no compiled code: `…-none-any`.
    pub fn is_pure(&self) -> bool {
        self.abi == "none" && self.platform == "any"
    }

    /// The glibc a `manylinux` platform promises to be content with, legacy names included.
    pub fn manylinux_glibc(&self) -> Option<Glibc> {
        split_manylinux(&self.platform).map(|(glibc, _, _)| glibc)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.python, self.abi, self.platform)
    }
}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        match *text.split('-').collect::<Vec<_>>() {
            [python, abi, platform] if [python, abi, platform].into_iter().all(is_tag_part) => {
                Ok(Self::new(python, abi, platform))
            }
            _ => Err(InvalidTag(text.to_owned())),
        }
    }
}

/// Whether `text` may be one part of an expanded tag.
pub(super) fn is_tag_part(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// `manylinux_2_17_x86_64` or `manylinux2014_x86_64` → the glibc, whether the name is a legacy one,
/// and the machine.
pub(super) fn split_manylinux(platform: &str) -> Option<(Glibc, bool, &str)> {
    let legacy = [("manylinux1_", 5), ("manylinux2010_", 12), ("manylinux2014_", 17)];
    for (prefix, minor) in legacy {
        if let Some(arch) = platform.strip_prefix(prefix) {
            // manylinux1 and manylinux2010 were never defined for other architectures.
            let defined = minor == 17 || arch == Arch::Amd64.machine();
            return defined.then_some((Glibc { major: 2, minor }, true, arch));
        }
    }
    let (major, rest) = platform.strip_prefix("manylinux_")?.split_once('_')?;
    let (minor, arch) = rest.split_once('_')?;
    Some((Glibc { major: major.parse().ok()?, minor: minor.parse().ok()? }, false, arch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_lower_case_and_have_three_parts() {
        assert_eq!("CP311-abi3-Any".parse::<Tag>().unwrap().to_string(), "cp311-abi3-any");
        for text in ["", "py3", "py3-none", "py3-none-any-1", "py3--any", "py2.py3-none-any", "py3-none-a/b"]
        {
            assert!(text.parse::<Tag>().is_err(), "{text}");
        }
    }
}
