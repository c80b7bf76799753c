//! In earnest: what is built in a Debian root file system of arm64, where everything runs emulated. Takes such a root,
//! so plain `cargo test` leaves it out:
//!
//! ```text
//! CROSSWHEEL_ARM64_ROOT=DIR cargo test --test emulated
//! ```
//!
//! Without the variable `crosswheel rootfs create` makes one, from a Debian mirror.

#[path = "../support/mod.rs"]
mod support;

mod build;
mod check;
mod wheels;
