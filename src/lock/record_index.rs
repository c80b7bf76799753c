//! Records by their place in the lock.

/// The place of a record in its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordIndex(pub(super) u32);

impl RecordIndex {
    /// From 0, in the lock's order.
    pub fn position(self) -> usize {
        self.0 as usize
    }

    /// The record at `position`, which is one of a lock's.
    pub(super) fn from_position(position: usize) -> Self {
        // A lock has fewer bytes than that.
        Self(position as u32)
    }
}
