//! The sandbox init, also called a zygote: the process in which commands are started, one after another. Has
//! one thread, speaks over its standard error, and lives as long as there is something to kill. Knows nothing of
//! who asked.
//!
//! It builds what is the same for every command (users, network, most of the file system) and then keeps one
//! child in readiness, the supervisor of the next command: process 1 of namespaces in which only that command's
//! own mounts are missing. It never runs two at a time, as they share a network.

mod census;
mod command;
mod emulation;
mod filter;
mod memory_shortage;
mod meter;
mod namespaces;
mod root;
mod serve;
mod shared_namespaces;
mod step;
mod supervise;
mod supervisor;
mod system;

pub(crate) use namespaces::{enter_cgroup_namespace, enter_user_and_mount_namespaces};

pub use serve::run;
