//! Where outputs are collected from and to, and within which limits. Knows nothing of how.

use super::left::LeftExecRoot;
use crate::digest::DigestFunction;
use crate::execute::kept::Kept;
use crate::execute::quota::{Bound, Effort};

/// Where outputs are collected from and to, and within which limits.
pub(crate) struct Collecting<'a> {
    pub left: &'a LeftExecRoot<'a>,
    pub kept: &'a Kept,
    pub function: DigestFunction,
    /// Bytes of all outputs.
    pub limit: Bound,
    /// Files, directories and symlinks.
    pub most_entries: u64,
    pub effort: Effort<'a>,
}
