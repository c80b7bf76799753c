//! What people name, and the sdists that it turns out to be. Knows nothing of targets.

mod acquire;
pub(super) mod binary_policy;
mod choice;
mod fragment;
pub(super) mod git_source;
pub(super) mod hashes;
mod logical_lines;
pub(super) mod requested;
pub(super) mod requirements_file;
mod requirements_line;
pub(super) mod sdists;
pub(super) mod source;
