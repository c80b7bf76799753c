//! Looks at this host and says in plain words what works, what does not, and the command that
//! mends it. Every check tries the thing itself rather than trusting a version number.
//! Knows nothing of how its findings are shown.

mod emulation;
mod examine;
mod kernel;
mod promises;
mod toolchain;

pub use emulation::{BinfmtRegistration, RegisterBinfmtError, register_binfmt};
pub use examine::examine;
pub use kernel::mount_overlay_in_new_namespace;
pub use promises::{attack, try_to_break};
