//! The file system a command sees: the host's (or another root), read-only, with private and writable places in
//! it. Knows nothing of the command but what it is to see.
//!
//! A fresh tmpfs becomes the root, with the host's root below `OLD_ROOT` while the new one is filled from
//! it; then the old root is detached. Nothing of the host is ever covered while it is still needed, so it
//! does not matter where in it things lie.
//!
//! It is done in three steps. The template holds what is the same for every command; it is built once, in the
//! zygote's mount namespace. A copy of that namespace gets the places that must be new for each command, and
//! then those that the command asks for.

mod base;
mod hiding;
mod host_mounts;
mod mount_point;
mod mount_table;
mod mounts;
mod old_root;
mod overlay;
mod private;
mod severed;
mod system_directories;
mod template;

pub(super) use mounts::make_private;
pub(super) use template::{Finished, Template, Unfinished};
