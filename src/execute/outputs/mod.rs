//! What a dead command has left at the paths that the client asked for: found, put into the store, described.
//! Knows nothing of how the command ran.
//!
//! Everything is looked at through one open directory, from which no path and no link leads out (openat2(2)); a
//! symlink among outputs is reported and never followed. In the middle of a path it is followed as long as it
//! stays inside.

mod budget;
mod collect;
mod collecting;
mod describe;
mod digest;
mod failure;
mod find;
mod found;
mod left;

pub(super) use collect::collect;
pub(super) use collecting::Collecting;
pub(super) use left::LeftExecRoot;

pub use collect::ABSOLUTE_SYMLINKS;
