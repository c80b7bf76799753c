//! Operating system, architecture and libc of a machine, and how the field spells them: target names
//! (`linux_arm64`), properties of platforms, ELF machines, Bazel's constraints.
//! Knows nothing of builds, sockets or files.

mod arch_name;
mod libc;
mod property;
mod python_version;
mod search_path;
mod target;
mod target_name;

pub use arch_name::NamedArch;
pub use libc::{InvalidLibc, Libc, LibcFamily};
pub use property::canonical_property_name;
pub use python_version::{InvalidPythonVersion, PythonVersion};
pub use search_path::SYSTEM_PATH;
pub use target::{Arch, Glibc, InvalidGlibc, InvalidTargetName, Target};
pub use target_name::{InvalidTarget, RequestedTarget};
