//! All that is looked at on this host, in the order in which it is shown. Knows nothing of how it is looked at.

use std::path::Path;

use super::emulation;
use super::kernel;
use super::toolchain;
use crate::finding::Finding;
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
