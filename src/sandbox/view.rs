//! What a command is to see of the host, looked up in the host's file system. The init mounts it later, where
//! these paths mean nothing any more. Knows nothing of mounting.

use std::path::{Path, PathBuf};

use super::error::SandboxError;
use super::message::Mount;
use super::spec::Spec;

/// Directories of which a command gets its own, empty ones: what others keep there is not for it, and sockets
/// of services lie there, which a read-only mount does not protect.
pub(super) const PRIVATE_DIRECTORIES: [&str; 3] = ["/tmp", "/var/tmp", "/run"];

/// The mounts `spec` asks for, in the order in which they are to be made.
pub(super) fn mounts(spec: &Spec) -> Result<Vec<Mount>, SandboxError> {
    let mut mounts = Vec::new();
    for path in &spec.visible_host_paths {
        show(path, &mut mounts)?;
    }
    // Often a link to a file that a resolver keeps below /run. A host without one needs none.
    let resolver_settings = Path::new("/etc/resolv.conf");
    if spec.network && resolver_settings.exists() {
        show(resolver_settings, &mut mounts)?;
    }
    for bind in &spec.binds {
        let found = Found::at(&bind.host)?;
        mounts.push(found.mount(&bind.inside, bind.writable));
    }
    Ok(mounts)
}

/// Keeps `path` visible under its own name and, if links lead to it, under its real one.
fn show(path: &Path, mounts: &mut Vec<Mount>) -> Result<(), SandboxError> {
    let found = Found::at(path)?;
    if is_private(&found.real) && found.real != path {
        mounts.push(found.mount(&found.real, false));
    }
    if is_private(path) {
        mounts.push(found.mount(path, false));
    }
    Ok(())
}

fn is_private(path: &Path) -> bool {
    PRIVATE_DIRECTORIES.iter().any(|directory| path.starts_with(directory))
}

/// A file or directory of the host.
struct Found {
    /// Without links.
    real: PathBuf,
    directory: bool,
}

impl Found {
    fn at(path: &Path) -> Result<Self, SandboxError> {
        let look = || -> std::io::Result<Self> {
            let real = fs_err::canonicalize(path)?;
            let directory = fs_err::metadata(&real)?.is_dir();
            Ok(Self { real, directory })
        };
        look().map_err(|error| SandboxError::SetUp {
            step: format!("find {path:?}, which the command is to see"),
            error: error.to_string(),
        })
    }

    fn mount(&self, inside: &Path, writable: bool) -> Mount {
        let (host, inside) = (self.real.as_os_str().into(), inside.as_os_str().into());
        Mount { host, inside, directory: self.directory, writable }
    }
}
