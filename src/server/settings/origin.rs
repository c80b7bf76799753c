//! Where the value of a setting was written. Knows nothing of values.

use std::fmt;
use std::path::PathBuf;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Flag(&'static str),
    Variable(String),
    File { key: String, path: PathBuf },
    Default(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(formatter, "--{name}"),
            Self::Variable(name) => write!(formatter, "{name} in the environment"),
            Self::File { key, path } => write!(formatter, "{key} in {}", path.display()),
            Self::Default(name) => write!(formatter, "the default of {name}"),
        }
    }
}
