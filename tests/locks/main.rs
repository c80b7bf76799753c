//! Locks are planned as uv installs them: real ones, with what uv said of them, and small ones of our own.
//! `CROSSWHEEL_LOCKS` names a directory of further real ones, of the same shape as `data`.

mod all_targets;
mod files;
mod malformed;
mod real_locks;
mod scene;
mod selections;
mod settings;
mod traps;
mod workspace;
