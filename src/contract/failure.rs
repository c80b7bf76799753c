//! Why there is no wheel, in classes that a person or a script can act on: what the step itself reports, and what can go
//! wrong before it. Knows nothing of how a build is run, nor of how failures are shown.

use serde::{Deserialize, Serialize};

use super::git::{GitQuestion, GitQuestions};
use super::report::IsolationReport;

/// The class of a failure. Each has an exit code of its own ([`FailureClass::exit_code`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureClass {
    /// The cache, the output directory or another local file cannot be used.
    LocalIo,
    /// The SOURCE argument names nothing that can be built, or another argument makes no sense.
    InvalidSource,
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
    /// A file could not be had: not found, the network, or a hash that does not match.
    FetchFailed,
    /// No set of wheels satisfies the requirements.
    ResolutionFailed,
    /// The lock file does not fit the source, or what its backend asks for.
    LockDrift,
    /// A build requirement needs itself to build.
    RequirementCycle,
    /// The executor cannot be reached, or could not run the step.
    ExecutionFailed,
    /// Wheels that were to be installed together cannot be, or do not work.
    CheckFailed,
    /// A signal ended the run.
    Interrupted,
    /// The backend failed for a reason none of the other classes names. So is read what a newer crosswheel names.
    #[serde(other)]
    BackendError,
}

/// What there is to know of a class.
struct Facts {
    code: u8,
    name: &'static str,
    title: &'static str,
    meaning: &'static str,
}

impl FailureClass {
    /// Every class, in the order of their exit codes.
    pub const ALL: [Self; 20] = [
        Self::LocalIo,
        Self::InvalidSource,
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
        Self::FetchFailed,
        Self::ResolutionFailed,
        Self::LockDrift,
        Self::RequirementCycle,
        Self::ExecutionFailed,
        Self::CheckFailed,
        Self::Interrupted,
    ];

    /// The exit code of `crosswheel` for this class: 10 to 20 if the step found it, 21 to 25 if there was no step that
    /// could, 26 if wheels do not fit together; 1, 2 and 130 as everywhere.
    pub const fn exit_code(self) -> u8 {
        self.facts().code
    }

    /// How documents spell it.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// The class in plain words, as messages show it.
    pub const fn title(self) -> &'static str {
        self.facts().title
    }

    /// What has happened, in one line of a manual.
    pub const fn meaning(self) -> &'static str {
        self.facts().meaning
    }

    /// Whether it is one that the step can find: a fault of the project.
    pub const fn is_of_the_step(self) -> bool {
        matches!(self.facts().code, 10..=20)
    }

    /// The one table of them.
    const fn facts(self) -> Facts {
        let (code, name, title, meaning) = match self {
            Self::LocalIo => (
                1,
                "local-io",
                "cannot read or write a local file",
                "this machine is at fault: disk, permissions",
            ),
            Self::InvalidSource => {
                (2, "invalid-source", "invalid argument", "a SOURCE or another argument makes no sense")
            }
            Self::MissingBuildRequirement => (
                10,
                "missing-build-requirement",
                "missing build requirement",
                "the build needs a Python package it was not given",
            ),
            Self::MissingSystemLibrary => (
                11,
                "missing-system-library",
                "missing system header or library",
                "a header or library of the system is missing; the hint names the Debian package",
            ),
            Self::MissingTool => {
                (12, "missing-tool", "missing compiler or tool", "a compiler or another program is missing")
            }
            Self::NetworkAccess => {
                (13, "network-access", "network access during build", "the build tried to reach the network")
            }
            Self::InvalidMetadata => (
                14,
                "invalid-metadata",
                "backend drift / invalid metadata",
                "the backend rejects the project: broken metadata, or a backend of another age",
            ),
            Self::RequiresNewerPython => (
                15,
                "requires-newer-python",
                "requires newer Python",
                "`Requires-Python` excludes the interpreter; said before anything runs",
            ),
            Self::Killed => (16, "killed", "out of memory or killed", "out of memory, or killed"),
            Self::Timeout => (17, "timeout", "timeout", "longer than `--timeout`"),
            Self::ArchiveRefused => (18, "archive-refused", "archive refused", "the sdist breaks a rule"),
            Self::WheelRefused => {
                (19, "wheel-refused", "wheel refused", "the wheel is not one that may be handed on")
            }
            Self::BackendError => (
                20,
                "backend-error",
                "backend error",
                "anything else the backend did; the end of its log is shown",
            ),
            Self::FetchFailed => {
                (21, "fetch-failed", "fetch failed", "not found, network, or a hash that does not match")
            }
            Self::ResolutionFailed => (
                22,
                "resolution-failed",
                "requirements cannot be resolved",
                "no set of wheels satisfies the requirements, in uv's words; or a lock has no file for the target",
            ),
            Self::LockDrift => (23, "lock-drift", "lock drift", "the lock does not fit what is built"),
            Self::RequirementCycle => {
                (24, "requirement-cycle", "requirement cycle", "a build requirement needs itself to build")
            }
            Self::ExecutionFailed => (
                25,
                "execution-failed",
                "execution failed",
                "the executor cannot be reached, has no fitting worker, or could not run the step",
            ),
            Self::CheckFailed => (
                26,
                "check-failed",
                "check failed",
                "wheels cannot be installed together, lack what they require, or cannot be imported",
            ),
            Self::Interrupted => (130, "interrupted", "interrupted", "ended by Ctrl-C"),
        };
        Facts { code, name, title, meaning }
    }
}

/// Why there is no wheel: what happened, the lines that show it, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}: {message}", class.title())]
pub struct Failure {
    /// What kind of failure this is.
    pub class: FailureClass,
    /// One or two sentences: what happened to what.
    pub message: String,
    /// The lines of a log that show it, oldest first; empty when no log is involved.
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
    /// For [`FailureClass::MissingTool`] of `crosswheel sdist`: what the backend asked git and got no answer to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_questions: Option<Box<GitQuestions>>,
    /// How the build was isolated that failed; none if it did not come to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Box<IsolationReport>>,
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
            git_questions: None,
            isolation: None,
        }
    }

    /// What git was asked in vain; nothing if it was not that.
    pub fn git_questions(&self) -> &[GitQuestion] {
        self.git_questions.as_ref().map(|questions| questions.0.as_slice()).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_distinct_and_in_order() {
        let codes: Vec<u8> = FailureClass::ALL.iter().map(|class| class.exit_code()).collect();
        assert_eq!(codes, [1, 2].into_iter().chain(10..=26).chain([130]).collect::<Vec<u8>>());
        let of_the_step = FailureClass::ALL.into_iter().filter(|class| class.is_of_the_step());
        assert_eq!(of_the_step.count(), 11);
    }

    #[test]
    fn documents_spell_classes_by_their_names() {
        for class in FailureClass::ALL {
            let text = format!("{:?}", class.name());
            assert_eq!(serde_json::to_string(&class).unwrap(), text);
            assert_eq!(serde_json::from_str::<FailureClass>(&text).unwrap(), class);
        }
    }

    /// Two releases may share a contract, and the newer one may tell more apart.
    #[test]
    fn a_class_of_a_newer_crosswheel_is_an_error_of_the_backend() {
        let failure: Failure =
            serde_json::from_str(r#"{"class":"bad-weather","message":"it rains"}"#).unwrap();
        assert_eq!(failure, Failure::new(FailureClass::BackendError, "it rains"));
    }
}
