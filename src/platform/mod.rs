//! Operating system, architecture, libc and Python of a machine, and how the field spells them:
//! target names (`linux_arm64`), wheel tags, ELF machines.
//! Knows nothing of builds, sockets or files.

mod libc;
mod property;
mod target;

pub use libc::{InvalidLibc, Libc};
pub use property::canonical_property_name;
pub use target::{Arch, Glibc, InvalidGlibc, InvalidTarget, Target};

/// `PATH` where nobody says otherwise: of builds, and of actions whose worker looks for crosswheel, and for a Python,
/// itself. One for all, so that both find the same programs.
pub const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
