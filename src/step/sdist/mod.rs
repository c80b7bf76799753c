//! From a source tree to an sdist: a copy of the tree, the backend's `build_sdist`, and an archive that is the same
//! each time. Knows nothing of repositories, but for what it was told that git says of one.

mod git_program;
pub mod make;
mod pack;
mod tree_copy;
