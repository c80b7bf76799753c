//! Why the step made no wheel: the project's fault, the caller's, or this machine's. The one place
//! where the errors of all stages are sorted. Knows nothing of how they are shown.

use super::backend::hooks::BackendError;
use super::source::patch::PatchError;
use super::source::project::ProjectError;
use super::venv::virtual_environment::VenvError;
use super::venv::wheel_store::WheelStoreError;
use super::venv::wheelhouse::WheelhouseError;
use crate::archive::ArchiveError;
use crate::cancellation::Cancelled;
use crate::contract::{Failure, FailureClass};
use crate::packaging::wheel_archive::WheelArchiveError;
use crate::sandbox::SandboxError;

/// Why there is no wheel.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The build failed in a way that has a class.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Input(String),
    /// The build was ended from outside.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// This machine, not the project, is at fault.
    #[error("cannot {attempt}: {reason}")]
    Host {
        /// What was attempted.
        attempt: &'static str,
        /// What went wrong.
        reason: String,
    },
}

/// Blames this machine for an error that came up while it tried to `attempt`.
pub(super) fn host<E: std::fmt::Display>(attempt: &'static str) -> impl Fn(E) -> StepError {
    move |error| StepError::Host { attempt, reason: error.to_string() }
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        let failure = Self::new(FailureClass::ArchiveRefused, error.to_string());
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    }
}

impl From<ArchiveError> for StepError {
    fn from(error: ArchiveError) -> Self {
        match &error {
            ArchiveError::Refused { .. } => Self::Failed(error.into()),
            ArchiveError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Self::Input(error.to_string())
            }
            ArchiveError::Read { .. } | ArchiveError::Write { .. } => host("unpack the sdist")(error),
        }
    }
}

impl From<PatchError> for StepError {
    fn from(error: PatchError) -> Self {
        match error {
            PatchError::Io(error) => host("apply a patch")(error),
            refused => Self::Failed(refused.into()),
        }
    }
}

impl From<ProjectError> for StepError {
    fn from(error: ProjectError) -> Self {
        match error {
            ProjectError::Io(error) => host("read the project")(error),
            refused => Self::Failed(refused.into()),
        }
    }
}

impl From<WheelhouseError> for StepError {
    fn from(error: WheelhouseError) -> Self {
        match error {
            WheelhouseError::Io(error) => host("read the build requirements")(error),
            unusable => Self::Input(unusable.to_string()),
        }
    }
}

impl From<WheelStoreError> for StepError {
    fn from(error: WheelStoreError) -> Self {
        match error {
            // Not of this machine, nor of the project: somebody gave a wheel that is none.
            WheelStoreError::Archive(WheelArchiveError::Io(_))
            | WheelStoreError::Io(_)
            | WheelStoreError::ByteCompile { .. }
            | WheelStoreError::Manifest(_) => host("unpack a build requirement")(error),
            WheelStoreError::Archive(_) | WheelStoreError::Digest { .. } | WheelStoreError::Record { .. } => {
                Self::Input(format!("cannot unpack a build requirement: {error}"))
            }
        }
    }
}

impl From<VenvError> for StepError {
    fn from(error: VenvError) -> Self {
        host("make the venv")(error)
    }
}

impl From<SandboxError> for StepError {
    fn from(error: SandboxError) -> Self {
        host("start the backend")(error)
    }
}

impl From<BackendError> for StepError {
    fn from(error: BackendError) -> Self {
        host("run the backend")(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Rule;

    #[test]
    fn a_refused_archive_becomes_a_failure_with_the_words_of_its_rule() {
        let rule = Rule::NameNotUtf8;
        let hint = rule.hint().map(str::to_owned);
        let error = ArchiveError::Refused { archive: "x.tar".into(), member: Some("a".into()), rule };
        let StepError::Failed(failure) = StepError::from(error) else { panic!("it is nobody else's fault") };
        assert_eq!(failure.class, FailureClass::ArchiveRefused);
        assert_eq!(failure.message, "x.tar: member `a` has a name that is not UTF-8");
        assert!(hint.is_some() && failure.hint == hint);
    }
}
