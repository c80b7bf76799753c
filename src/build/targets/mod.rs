//! Which targets there are, where the steps for each run, and when one may have the wheel of another.

pub(super) mod destination;
mod foreign_python;
pub(super) mod placement;
pub(super) mod sharing;
pub(super) mod target_root;
