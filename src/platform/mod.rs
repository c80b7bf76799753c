//! Operating system, architecture, libc and Python of a machine, and how the field spells them:
//! target names (`linux_arm64`), wheel tags, ELF machines.
//! Knows nothing of builds, sockets or files.

mod compatible_tags;
mod libc;
mod tag;
mod target;
mod wheel_name;

pub use compatible_tags::CompatibleTags;
pub use libc::{InvalidLibc, Libc};
pub use tag::{InvalidTag, Tag};
pub use target::{Arch, Glibc, InvalidGlibc, InvalidTarget, Target};
pub use wheel_name::{InvalidWheelName, WheelFileName};
