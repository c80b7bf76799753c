//! Where outputs are collected from and to, and within which limits. Knows nothing of how.

use super::left::LeftExecRoot;
use crate::cas::DiskStore;
use crate::digest::DigestFunction;
use crate::execute::quota::{Bound, Effort};

/// Where outputs are collected from and to, and within which limits.
pub(crate) struct Collecting<'a> {
    pub left: &'a LeftExecRoot<'a>,
    pub store: &'a DiskStore,
    pub function: DigestFunction,
    /// Bytes of all outputs.
    pub limit: Bound,
    /// Files, directories and symlinks.
    pub most_entries: u64,
    pub effort: Effort<'a>,
}
