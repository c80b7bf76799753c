//! What people name, and the sdists that it turns out to be. Of targets it knows that one is there to make sdists on.

mod acquire;
pub(super) mod binary_policy;
mod checkout;
mod choice;
pub(super) mod directory;
mod file_stamp;
pub(super) mod fragment;
mod git_process;
mod git_questions;
mod git_readers;
pub(super) mod git_source;
mod guarded_git;
pub(super) mod hashes;
mod logical_lines;
mod repository;
pub(super) mod requested;
pub(super) mod requirements_file;
mod requirements_line;
pub(super) mod sdists;
pub(super) mod source;
mod tree_files;
pub(super) mod tree_place;
mod tree_sdist;
pub(super) mod tree_sdists;
