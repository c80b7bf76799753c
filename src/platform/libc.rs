//! C libraries, as platform properties (`libc=glibc-2.36`) and Bazel constraints name them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::target::Glibc;

/// A C library. Written `glibc-2.36` or `musl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Libc {
    /// The GNU C library of this version. What was built with one runs with that and newer ones.
    Glibc(Glibc),
    /// musl, of whichever version: it does not version its symbols.
    Musl,
}

/// A C library, of whichever version. Written `glibc` or `musl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LibcFamily {
    Glibc,
    Musl,
}

impl fmt::Display for LibcFamily {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Glibc => "glibc",
            Self::Musl => "musl",
        })
    }
}

/// A text that is neither `glibc-MAJOR.MINOR` nor `musl`.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a C library such as glibc-2.36 or musl")]
pub struct InvalidLibc(String);

impl fmt::Display for Libc {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glibc(version) => write!(formatter, "glibc-{version}"),
            Self::Musl => formatter.write_str("musl"),
        }
    }
}

impl FromStr for Libc {
    type Err = InvalidLibc;

    fn from_str(text: &str) -> Result<Self, InvalidLibc> {
        if text == "musl" {
            return Ok(Self::Musl);
        }
        let version = text.strip_prefix("glibc-").and_then(|version| version.parse().ok());
        version.map(Self::Glibc).ok_or_else(|| InvalidLibc(text.to_owned()))
    }
}

impl From<Libc> for String {
    fn from(libc: Libc) -> Self {
        libc.to_string()
    }
}

impl TryFrom<String> for Libc {
    type Error = InvalidLibc;

    fn try_from(text: String) -> Result<Self, InvalidLibc> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_refused() {
        for name in ["glibc-2.36", "musl"] {
            assert_eq!(name.parse::<Libc>().unwrap().to_string(), name);
        }
        for other in ["glibc", "glibc-2", "musl-1.2", "uclibc", ""] {
            assert!(other.parse::<Libc>().is_err(), "{other}");
        }
    }
}
