//! The platform a wheel is built for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A processor architecture crosswheel builds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// x86-64; `Arch=amd64` in execution properties.
    Amd64,
    /// AArch64; `Arch=arm64` in execution properties.
    Arm64,
}

impl Arch {
    /// The value of the `Arch` execution property: `amd64` or `arm64`.
    pub fn property(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The kernel's name, as `uname -m` and wheel platform tags have it: `x86_64` or `aarch64`.
    pub fn machine(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// The architecture `uname -m` calls `machine`, if it is one of ours.
    pub fn from_machine(machine: &str) -> Option<Self> {
        [Self::Amd64, Self::Arm64].into_iter().find(|arch| arch.machine() == machine)
    }

    /// The architecture that the `Arch` property calls `property`, if it is one of ours.
    pub fn from_property(property: &str) -> Option<Self> {
        [Self::Amd64, Self::Arm64].into_iter().find(|arch| arch.property() == property)
    }

    /// The constraint value of Bazel's `@platforms//cpu`: `x86_64` or `aarch64`.
    pub fn bazel_cpu(self) -> &'static str {
        self.machine()
    }

    /// The architecture this binary was compiled for.
    pub fn host() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Arm64 } else { Self::Amd64 }
    }

    /// The architecture that a file is for which begins with `header` (20 bytes do), if it is an ELF file for one
    /// of ours.
    pub fn of_elf_header(header: &[u8]) -> Option<Self> {
        if !header.starts_with(b"\x7fELF") {
            return None;
        }
        let machine = u16::from_le_bytes([*header.get(18)?, *header.get(19)?]);
        [Self::Amd64, Self::Arm64].into_iter().find(|arch| arch.elf_machine() == machine)
    }

    /// The architecture of ours that this one is not.
    pub fn other(self) -> Self {
        match self {
            Self::Amd64 => Self::Arm64,
            Self::Arm64 => Self::Amd64,
        }
    }

    /// `e_machine` of ELF files for this architecture (62 `EM_X86_64`, 183 `EM_AARCH64`).
    pub fn elf_machine(self) -> u16 {
        match self {
            Self::Amd64 => 62,
            Self::Arm64 => 183,
        }
    }
}

/// A platform: Linux on one architecture. Written `linux_amd64` or `linux_arm64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Target {
    /// The processor architecture.
    pub arch: Arch,
}

/// A text in a document that is not exactly what a target is called there.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is neither linux_amd64 nor linux_arm64")]
pub struct InvalidTargetName(String);

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux_{}", self.arch.property())
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl TryFrom<String> for Target {
    type Error = InvalidTargetName;

    /// Documents have one name for each target, whatever people may call it.
    fn try_from(text: String) -> Result<Self, InvalidTargetName> {
        let named = |arch: &Arch| Self { arch: *arch }.to_string() == text;
        let arch = [Arch::Amd64, Arch::Arm64].into_iter().find(named);
        arch.map(|arch| Self { arch }).ok_or(InvalidTargetName(text))
    }
}

/// A glibc version, as in `manylinux_2_36` (PEP 600) and `GLIBC_2.36` symbol versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Glibc {
    /// 2, for every glibc of this century.
    pub major: u32,
    /// 36 in glibc 2.36.
    pub minor: u32,
}

/// A text that is not `MAJOR.MINOR`.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a glibc version such as 2.36")]
pub struct InvalidGlibc(String);

impl fmt::Display for Glibc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Glibc {
    type Err = InvalidGlibc;

    fn from_str(text: &str) -> Result<Self, InvalidGlibc> {
        let parse = |part: &str| part.parse().ok();
        text.split_once('.')
            .and_then(|(major, minor)| Some(Self { major: parse(major)?, minor: parse(minor)? }))
            .ok_or_else(|| InvalidGlibc(text.to_owned()))
    }
}

impl From<Glibc> for String {
    fn from(glibc: Glibc) -> Self {
        glibc.to_string()
    }
}

impl TryFrom<String> for Glibc {
    type Error = InvalidGlibc;

    fn try_from(text: String) -> Result<Self, InvalidGlibc> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_one_name_for_each_target() {
        for name in ["linux_amd64", "linux_arm64"] {
            let target: Target = serde_json::from_value(name.into()).unwrap();
            assert_eq!(serde_json::to_value(target).unwrap(), name);
        }
        for other in ["linux_x86_64", "manylinux_2_28_x86_64", "Linux_amd64", ""] {
            assert!(serde_json::from_value::<Target>(other.into()).is_err(), "{other}");
        }
    }

    #[test]
    fn glibc_versions_compare_by_number() {
        let parse = |text: &str| text.parse::<Glibc>().unwrap();
        assert!(parse("2.9") < parse("2.36"));
        assert!("2".parse::<Glibc>().is_err());
    }
}
