//! What somebody finds who looks at a host, or at a root file system, to say whether it can build: each thing with its
//! status and what mends it. Knows nothing of what is looked at, nor of how findings are shown.

use serde::Serialize;

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingStatus {
    /// It works.
    Works,
    /// Builds are possible, but not all of them, or slower or less safe.
    Limited,
    /// Nothing can be built until this is mended.
    Broken,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What, such as `C compiler`.
    pub subject: String,
    /// Whether it works.
    pub status: FindingStatus,
    /// What was found, in plain words.
    pub found: String,
    /// What to run, or to do, to mend it.
    pub mend: Option<String>,
}

impl Finding {
    /// It works, as found.
    pub fn works(subject: &str, found: impl Into<String>) -> Self {
        Self { subject: subject.into(), status: FindingStatus::Works, found: found.into(), mend: None }
    }

    /// Less is possible than could be, until it is mended.
    pub fn limited(subject: &str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            status: FindingStatus::Limited,
            found: found.into(),
            mend: Some(mend.into()),
        }
    }

    /// Nothing is possible until it is mended.
    pub fn broken(subject: &str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            status: FindingStatus::Broken,
            found: found.into(),
            mend: Some(mend.into()),
        }
    }
}
