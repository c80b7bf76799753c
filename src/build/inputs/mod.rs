//! What people name, and the sdists that it turns out to be. Knows nothing of targets.

mod acquire;
mod choice;
mod fragment;
pub(super) mod git_source;
pub(super) mod hashes;
pub(super) mod requested;
pub(super) mod sdists;
pub(super) mod source;
