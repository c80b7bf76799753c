//! Operating system, architecture, libc and Python of a machine, and how the field spells them:
//! target names (`linux_arm64`), wheel tags, ELF machines.
//! Knows nothing of builds, sockets or files.

mod target;

pub use target::{Arch, Glibc, InvalidGlibc, InvalidTarget, Target};
