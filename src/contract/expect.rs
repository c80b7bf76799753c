//! `--expect`: whether a wheel must hold compiled code.

use std::fmt;

/// Whether a wheel must hold compiled code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Expect {
    /// Refuse a pure wheel when the sdist has native sources and a compiler failed: some projects
    /// then fall back to a pure wheel without a word.
    #[default]
    Auto,
    /// Refuse a pure wheel.
    Native,
    /// Refuse compiled code.
    Pure,
    /// Accept both.
    Any,
}

impl fmt::Display for Expect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Pure => "pure",
            Self::Any => "any",
        })
    }
}
