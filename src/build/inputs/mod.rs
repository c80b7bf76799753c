//! What people name, and the sdists that it turns out to be. Of targets it knows that one is there to make sdists on.

mod acquire;
mod checkout;
mod choice;
pub(super) mod directory;
mod file_stamp;
mod fragment;
mod git_process;
mod git_questions;
pub(super) mod git_source;
pub(super) mod hashes;
mod repository;
pub(super) mod requested;
pub(super) mod sdists;
pub(super) mod source;
mod tree_files;
pub(super) mod tree_place;
mod tree_sdist;
pub(super) mod tree_sdists;
