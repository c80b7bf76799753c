//! `--sandbox`: how much isolation whoever asks insists on. What it then is, is said by the sandbox.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;

/// How much of a sandbox to insist on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SandboxMode {
    /// Namespaces where the host allows them; else what `off` gives, and the report says why.
    #[default]
    Auto,
    /// Namespaces, or an error that says what to do.
    Required,
    /// No namespaces: the command sees the host's file system. It still gets its own environment and session,
    /// no new privileges, no network (by a seccomp filter, unless it is to have one), and its whole tree is
    /// killed.
    Off,
}

impl fmt::Display for SandboxMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Auto => "auto",
            Self::Required => "required",
            Self::Off => "off",
        })
    }
}

impl FromStr for SandboxMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        <Self as ValueEnum>::from_str(text, true)
    }
}
