//! What people name, and the sdists that it turns out to be. Knows nothing of targets.

mod acquire;
pub(super) mod sdists;
pub(super) mod source;
