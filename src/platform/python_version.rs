//! Versions of Python, as far as somebody names them.

use std::fmt;
use std::str::FromStr;

/// A version of Python, as far as it matters: `3.11` is any 3.11.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PythonVersion(Vec<u8>);

/// A text that is not one to three numbers with dots between.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a version of Python such as 3.11")]
pub struct InvalidPythonVersion;

impl PythonVersion {
    /// Its numbers, one to three of them, the major version first.
    pub fn parts(&self) -> &[u8] {
        &self.0
    }

    /// Whether `version` is one of those that are meant.
    pub fn includes(&self, version: (u8, u8, u8)) -> bool {
        [version.0, version.1, version.2].starts_with(&self.0)
    }
}

impl FromStr for PythonVersion {
    type Err = InvalidPythonVersion;

    /// Names such as `python3.12` are none.
    fn from_str(text: &str) -> Result<Self, InvalidPythonVersion> {
        let parts: Option<Vec<u8>> = text.split('.').map(|part| part.parse().ok()).collect();
        parts.filter(|parts| parts.len() <= 3).map(Self).ok_or(InvalidPythonVersion)
    }
}

impl fmt::Display for PythonVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(u8::to_string).collect();
        formatter.write_str(&parts.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_are_a_version_and_it_counts_as_far_as_it_goes() {
        for fits in ["3", "3.11", "3.11.7"] {
            assert!(fits.parse::<PythonVersion>().unwrap().includes((3, 11, 7)), "{fits}");
            assert_eq!(fits.parse::<PythonVersion>().unwrap().to_string(), fits);
        }
        for other in ["3.1", "3.12", "3.11.8", "2"] {
            assert!(!other.parse::<PythonVersion>().unwrap().includes((3, 11, 7)), "{other}");
        }
        for none in ["", "three", "python3.11", "3.11t", "3.1.1.1", "3.", "3.256"] {
            assert_eq!(none.parse::<PythonVersion>(), Err(InvalidPythonVersion), "{none}");
        }
    }
}
