//! Why one source could not be built, seen from outside the hermetic step: everything the step
//! itself can report ([`FailureClass`]) and what can go wrong before it.
//! Knows nothing of how failures are shown.

use serde::{Deserialize, Serialize};

use crate::step::{Failure, FailureClass};

/// The class of a failed source. Each has an exit code of its own ([`BuildFailureClass::exit_code`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuildFailureClass {
    /// A file could not be had: not found, the network, or a hash that does not match.
    FetchFailed,
    /// No set of wheels satisfies the build requirements.
    ResolutionFailed,
    /// The lock file does not fit the source, or what its backend asks for.
    LockDrift,
    /// A build requirement needs itself to build.
    RequirementCycle,
    /// The SOURCE argument names nothing that can be built, or another argument makes no sense.
    InvalidSource,
    /// The cache or the output directory cannot be used.
    LocalIo,
    /// The executor cannot be reached, or could not run the step.
    ExecutionFailed,
    /// A signal ended the run.
    Interrupted,
    /// The hermetic step failed.
    #[serde(untagged)]
    Step(FailureClass),
}

impl BuildFailureClass {
    /// The exit code of `crosswheel build` when this is the first failure.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::LocalIo => 1,
            Self::InvalidSource => 2,
            Self::FetchFailed => 21,
            Self::ResolutionFailed => 22,
            Self::LockDrift => 23,
            Self::RequirementCycle => 24,
            Self::ExecutionFailed => 25,
            Self::Interrupted => 130,
            Self::Step(class) => class.exit_code(),
        }
    }

    /// The class in plain words, as messages show it.
    pub fn title(self) -> &'static str {
        match self {
            Self::FetchFailed => "fetch failed",
            Self::ResolutionFailed => "build requirements cannot be resolved",
            Self::LockDrift => "lock drift",
            Self::RequirementCycle => "requirement cycle",
            Self::InvalidSource => "invalid argument",
            Self::LocalIo => "cannot read or write a local file",
            Self::ExecutionFailed => "execution failed",
            Self::Interrupted => "interrupted",
            Self::Step(class) => class.title(),
        }
    }
}

/// A source that was not built: what happened, the lines that show it, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}: {message}", class.title())]
pub struct BuildFailure {
    /// What kind of failure this is.
    pub class: BuildFailureClass,
    /// One or two sentences: what happened to what.
    pub message: String,
    /// Lines of a log that show it, oldest first.
    pub evidence: Vec<String>,
    /// What the user can do about it.
    pub hint: Option<String>,
    /// Requirements the backend asked for and did not get (PEP 508).
    pub missing_requirements: Vec<String>,
}

impl BuildFailure {
    /// A failure without log lines, hint or requirements.
    pub fn new(class: BuildFailureClass, message: impl Into<String>) -> Self {
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

    /// The same failure, its message opened by what was being attempted.
    pub fn within(mut self, attempt: impl std::fmt::Display) -> Self {
        self.message = format!("{attempt}: {}", self.message);
        self
    }
}

impl From<Failure> for BuildFailure {
    fn from(failure: Failure) -> Self {
        Self {
            class: BuildFailureClass::Step(failure.class),
            message: failure.message,
            evidence: failure.evidence,
            hint: failure.hint,
            missing_requirements: failure.missing_requirements,
        }
    }
}

impl From<std::io::Error> for BuildFailure {
    fn from(error: std::io::Error) -> Self {
        Self::new(BuildFailureClass::LocalIo, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_both_kinds_are_serialised_alike() {
        let text = |class: BuildFailureClass| serde_json::to_string(&class).unwrap();
        assert_eq!(text(BuildFailureClass::LockDrift), "\"lock-drift\"");
        assert_eq!(text(BuildFailureClass::Step(FailureClass::NetworkAccess)), "\"network-access\"");
        let parsed: BuildFailureClass = serde_json::from_str("\"network-access\"").unwrap();
        assert_eq!(parsed, BuildFailureClass::Step(FailureClass::NetworkAccess));
    }
}
