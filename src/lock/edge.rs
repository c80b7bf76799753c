//! One dependency of a record on another.

use pep508_rs::{ExtraName, MarkerTree};

use super::record_index::RecordIndex;

/// A dependency as the lock has it. Its marker holds only under the condition that whatever has it is reached: uv drops
/// from it what that condition implies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// On which record.
    pub to: RecordIndex,
    /// With which of its extras; with none as well as with any, what the record itself needs is needed.
    pub extras: Vec<ExtraName>,
    /// When, conflict atoms included.
    pub marker: MarkerTree,
}
