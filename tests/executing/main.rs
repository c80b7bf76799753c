//! How actions run: sandboxes, root file systems, and the executor that uses both.

#[path = "../support/mod.rs"]
mod support;

mod execute;
mod rootfs;
mod sandbox;
