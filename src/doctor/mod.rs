//! Looks at this host and says in plain words what works, what does not, and the command that
//! mends it. Every check tries the thing itself rather than trusting a version number.
//! Knows nothing of how its findings are shown.

mod emulation;
mod kernel;
mod toolchain;

use std::path::Path;

use crate::platform::Arch;

/// Examines this host. `cache` is where builds keep their files; it is made if absent.
pub fn examine(cache: &Path) -> Vec<Finding> {
    let mut findings = toolchain::pythons(cache);
    findings.extend(toolchain::compilers());
    findings.push(toolchain::rust());
    findings.push(toolchain::uv(cache));
    findings.push(kernel::namespaces());
    findings.push(kernel::overlayfs());
    findings.push(emulation::emulation(Arch::host().other()));
    findings.push(kernel::disk(cache));
    findings
}

pub use crate::finding::{Finding, Status};
pub use emulation::{BinfmtRegistration, RegisterBinfmtError, register_binfmt};
pub use kernel::mount_overlay_in_new_namespace;
