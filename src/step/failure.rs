//! Why a build failed, in classes a person or a script can act on.
//! Knows nothing of how a build is run; the rules that read a log are in `diagnosis`.

use serde::{Deserialize, Serialize};

/// The class of a failed build. Each has an exit code of its own ([`FailureClass::exit_code`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// The build asked for or imported a Python package that was not given.
    MissingBuildRequirement,
    /// The compiler or linker did not find a header or a library of the system.
    MissingSystemLibrary,
    /// A compiler or another program was not found.
    MissingTool,
    /// The build tried to reach the network, which it must not.
    NetworkAccess,
    /// The backend rejects the project's own metadata or configuration.
    InvalidMetadata,
    /// `Requires-Python` excludes the interpreter.
    RequiresNewerPython,
    /// The build ran out of memory, or something killed it.
    Killed,
    /// The build took longer than `--timeout`.
    Timeout,
    /// The sdist breaks a rule of the archive format, or of safety.
    ArchiveRefused,
    /// The backend's wheel is not one that may be handed on.
    WheelRefused,
    /// The backend failed for a reason none of the other classes names.
    BackendError,
}

impl FailureClass {
    /// Every class, in the order of their exit codes.
    pub const ALL: [Self; 11] = [
        Self::MissingBuildRequirement,
        Self::MissingSystemLibrary,
        Self::MissingTool,
        Self::NetworkAccess,
        Self::InvalidMetadata,
        Self::RequiresNewerPython,
        Self::Killed,
        Self::Timeout,
        Self::ArchiveRefused,
        Self::WheelRefused,
        Self::BackendError,
    ];

    /// The exit code of `crosswheel` for this class: 10 to 20.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::MissingBuildRequirement => 10,
            Self::MissingSystemLibrary => 11,
            Self::MissingTool => 12,
            Self::NetworkAccess => 13,
            Self::InvalidMetadata => 14,
            Self::RequiresNewerPython => 15,
            Self::Killed => 16,
            Self::Timeout => 17,
            Self::ArchiveRefused => 18,
            Self::WheelRefused => 19,
            Self::BackendError => 20,
        }
    }

    /// The class in plain words, as messages show it.
    pub fn title(self) -> &'static str {
        match self {
            Self::MissingBuildRequirement => "missing build requirement",
            Self::MissingSystemLibrary => "missing system header or library",
            Self::MissingTool => "missing compiler or tool",
            Self::NetworkAccess => "network access during build",
            Self::InvalidMetadata => "backend drift / invalid metadata",
            Self::RequiresNewerPython => "requires newer Python",
            Self::Killed => "out of memory or killed",
            Self::Timeout => "timeout",
            Self::ArchiveRefused => "archive refused",
            Self::WheelRefused => "wheel refused",
            Self::BackendError => "backend error",
        }
    }
}

/// A failed build: what happened, the lines that show it, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}: {message}", class.title())]
pub struct Failure {
    /// What kind of failure this is.
    pub class: FailureClass,
    /// One or two sentences: what happened to what.
    pub message: String,
    /// The lines of the build log that show it, oldest first; empty when no log is involved.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// What the user can do about it.
    #[serde(default)]
    pub hint: Option<String>,
    /// For [`FailureClass::MissingBuildRequirement`]: the PEP 508 requirements the backend's
    /// `get_requires_for_build_wheel` hook (PEP 517) or `build-system.requires` (PEP 518) asks
    /// for and that are not installed. Empty when the requirement is only guessed from the log.
    #[serde(default)]
    pub missing_requirements: Vec<String>,
}

impl Failure {
    /// A failure without log lines, hint or requirements.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            evidence: Vec::new(),
            hint: None,
            missing_requirements: Vec::new(),
        }
    }

    /// The same failure with something to do about it.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_distinct_and_documented_in_order() {
        let codes: Vec<u8> = FailureClass::ALL.iter().map(|class| class.exit_code()).collect();
        assert_eq!(codes, (10..=20).collect::<Vec<u8>>());
    }
}
