//! Build requirements: from what an sdist asks for to wheels on disk, by way of uv and of the lock file.
//! Knows nothing of how steps run.

mod answer;
pub(super) mod build_requirements;
pub(super) mod installation;
pub(super) mod lines;
pub(super) mod lock;
mod lock_use;
pub(super) mod resolution;
pub(super) mod uv;
