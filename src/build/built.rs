//! What the build of an sdist for a target has brought. Knows nothing of how it was built.

use std::path::PathBuf;

use super::resolve::lock::LockedSdist;
use crate::contract::Report;

/// A wheel in the cache.
pub(super) struct Built {
    /// The wheel.
    pub(super) wheel: PathBuf,
    /// The report of its build.
    pub(super) report: Report,
    /// The worker that built it, as the executor names it; may be empty.
    pub(super) worker: String,
    /// Whether it was there before.
    pub(super) cached: bool,
    /// Lock entries of its sdist and of those built for it.
    pub(super) locks: Vec<LockedSdist>,
}
