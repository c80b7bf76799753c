//! What a command is to see of the host, looked up in the host's file system. The init mounts it later, where
//! these paths mean nothing any more. Knows nothing of mounting.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::error::SandboxError;
use super::message::{Mount, Registration, Root};
use super::set_up::{SetUpFailure, SetUpStep};
use super::spec::{PRIVATE_DIRECTORIES, RootFileSystem, Spec};
use super::text::Text;
use crate::emulation::Emulator;

/// The mounts `spec` asks for, in the order in which they are to be made.
///
/// `hidden` are directories, without links, of which the command sees nothing otherwise.
pub(super) fn mounts(spec: &Spec, hidden: &[PathBuf]) -> Result<Vec<Mount>, SandboxError> {
    let mut mounts = Vec::new();
    let whole_host = spec.root == RootFileSystem::Host;
    let is_seen =
        |path: &Path| whole_host && !is_private(path) && !hidden.iter().any(|above| path.starts_with(above));
    for path in &spec.visible_host_paths {
        show(path, is_seen, &mut mounts)?;
    }
    // Often a link to a file that a resolver keeps below /run. A host without one needs none, and a foreign
    // root without one has no place for it.
    let resolver_settings = Path::new("/etc/resolv.conf");
    let place_for_it = spec.root.directory().is_none_or(|root| root.join("etc/resolv.conf").is_file());
    if spec.network && resolver_settings.exists() && place_for_it {
        show(resolver_settings, is_seen, &mut mounts)?;
    }
    for bind in &spec.binds {
        let found = Found::at(&bind.host)?;
        mounts.push(found.mount(&bind.inside, bind.writable));
    }
    Ok(mounts)
}

/// Directories of which no command is to see anything, without links; those that do not exist have nothing to be seen.
pub(super) fn hidden(directories: &[PathBuf]) -> Vec<PathBuf> {
    directories.iter().filter_map(|directory| directory.canonicalize().ok()).collect()
}

/// The root that `root` asks for.
pub(super) fn root(root: &RootFileSystem) -> Result<Root, SandboxError> {
    Ok(match root {
        RootFileSystem::Host => Root::Host,
        RootFileSystem::HostDirectories(paths) => {
            let mut mounts = Vec::new();
            for path in paths {
                let found = Found::at(path)?;
                // Links to what is shown are made later; a place may not be a link and a directory.
                if found.real != *path && !path.is_symlink() {
                    mounts.push(found.mount(path, false));
                }
                mounts.push(found.mount(&found.real, false));
            }
            Root::HostDirectories(mounts)
        }
        RootFileSystem::Directory(path) | RootFileSystem::Emulated { directory: path, .. } => {
            Root::Directory(Found::at(path)?.real.as_os_str().into())
        }
    })
}

/// How `emulator` is registered.
pub(super) fn emulator(emulator: &Emulator) -> Result<Registration, SandboxError> {
    let path = emulator.program.clone();
    let problem = "cannot be registered: it is too long, or too strange";
    let line =
        emulator.registration().ok_or(SandboxError::InvalidPath { role: "emulator", path, problem })?;
    Ok(Registration { name: emulator.name(), line: Text(OsString::from_vec(line)) })
}

/// Keeps `path` visible under its own name and, if links lead to it, under its real one, as far as it would not be seen
/// otherwise.
fn show(path: &Path, is_seen: impl Fn(&Path) -> bool, mounts: &mut Vec<Mount>) -> Result<(), SandboxError> {
    let found = Found::at(path)?;
    if !is_seen(&found.real) && found.real != path {
        mounts.push(found.mount(&found.real, false));
    }
    if !is_seen(path) {
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
            // The step names the path, so errors of the standard library do, which have the kernel's number.
            let real = path.canonicalize()?;
            let directory = real.metadata()?.is_dir();
            Ok(Self { real, directory })
        };
        look().map_err(|error| {
            SetUpFailure { step: SetUpStep::FindOnHost { path: path.into() }, cause: error.into() }.into()
        })
    }

    fn mount(&self, inside: &Path, writable: bool) -> Mount {
        let (host, inside) = (self.real.as_os_str().into(), inside.as_os_str().into());
        Mount { host, inside, directory: self.directory, writable }
    }
}
