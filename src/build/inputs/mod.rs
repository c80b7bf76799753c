//! What people name, and the sdists that it turns out to be. Of targets it knows that one is there to make sdists on.

mod acquire;
pub(super) mod directory;
mod git_process;
mod git_questions;
mod repository;
pub(super) mod sdists;
pub(super) mod source;
mod tree_files;
mod tree_sdist;
