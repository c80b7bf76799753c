//! Looks at this host and says in plain words what works, what does not, and the command that
//! mends it. Every check tries the thing itself rather than trusting a version number.
//! Knows nothing of how its findings are shown.

mod emulation;
mod kernel;
mod toolchain;

use std::path::Path;

use serde::Serialize;

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It works.
    Works,
    /// Builds are possible, but something is slower, less safe or not available.
    Limited,
    /// Nothing can be built until this is mended.
    Broken,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was looked at, such as `C compiler`.
    pub subject: String,
    /// Whether it works.
    pub status: Status,
    /// What was found, in plain words.
    pub found: String,
    /// What to run, or to do, to mend it.
    pub mend: Option<String>,
}

impl Finding {
    fn works(subject: &str, found: impl Into<String>) -> Self {
        Self { subject: subject.into(), status: Status::Works, found: found.into(), mend: None }
    }

    fn limited(subject: &str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            status: Status::Limited,
            found: found.into(),
            mend: Some(mend.into()),
        }
    }

    fn broken(subject: &str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { subject: subject.into(), status: Status::Broken, found: found.into(), mend: Some(mend.into()) }
    }
}

/// Examines this host. `cache` is where builds keep their files; it is made if absent.
pub fn examine(cache: &Path) -> Vec<Finding> {
    let mut findings = toolchain::pythons(cache);
    findings.extend(toolchain::compilers());
    findings.push(toolchain::rust());
    findings.push(toolchain::uv(cache));
    findings.push(kernel::namespaces());
    findings.push(kernel::overlayfs());
    findings.push(emulation::emulation(emulation::other_arch()));
    findings.push(kernel::disk(cache));
    findings
}

pub use emulation::{BinfmtRegistration, RegisterBinfmtError, other_arch, register_binfmt};
pub use kernel::mount_overlay_in_new_namespace;
