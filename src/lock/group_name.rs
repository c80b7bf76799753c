//! Names of dependency groups (PEP 735). Knows nothing of what is in a group.

use std::fmt;
use std::str::FromStr;

use pep508_rs::{ExtraName, InvalidNameError};

/// The name of a dependency group, normalised as names of extras are (PEP 735).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupName(ExtraName);

impl FromStr for GroupName {
    type Err = InvalidNameError;

    fn from_str(text: &str) -> Result<Self, InvalidNameError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl AsRef<str> for GroupName {
    fn as_ref(&self) -> &str {
        self.0.as_ref()
    }
}
