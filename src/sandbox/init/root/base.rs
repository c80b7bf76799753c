//! The file system on which all else is mounted: the host's, parts of it, or another one. Knows nothing of the
//! command.

use std::ffi::OsString;
use std::fs::FileType;
use std::path::{Path, PathBuf};

use super::host_mounts::HostMounts;
use super::mounts::{Access, show, show_again};
use super::old_root::below_old_root;
use super::severed::{Severing, copy_link, show_file};
use crate::sandbox::init::step::Step;
use crate::sandbox::message::{Mount, Root};
use crate::sandbox::set_up::{Loss, SetUpFailure, SetUpStep};
use crate::sandbox::spec::PRIVATE_DIRECTORIES;

/// Directories of the host in which the system alone has files, and every command has what it is made of: they are shown
/// as they are, which is a little faster.
const OF_THE_SYSTEM: [&str; 7] = ["/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/usr"];

/// Fills the new root, an empty tmpfs. Places further up can be made in that, so what the file system lacks at
/// its top does not matter, and nothing is ever written into it. Says what could not be had; `refused` is why there are
/// no overlays, if there are none.
pub(super) fn show_base(
    base: &Root,
    mounts: &HostMounts,
    refused: Option<&SetUpFailure>,
) -> Result<Vec<Loss>, SetUpFailure> {
    match base {
        Root::Host => show_host(Severing::new(mounts, refused)),
        Root::Directory(root) => show_all(&root.to_path()).map(|()| Vec::new()),
        Root::HostDirectories(directories) => {
            let mut severing = Severing::new(mounts, refused);
            let severed = |mount: &&Mount| mount.directory && !is_of_the_system(&mount.host.to_path());
            let own_name = |mount: &&Mount| mount.host == mount.inside;
            for mount in directories.iter().filter(|mount| !severed(mount)) {
                show(&mount.host.to_path(), &mount.inside.to_path(), mount.directory, Access::ReadOnly)?;
            }
            for mount in directories.iter().filter(severed).filter(own_name) {
                severing.show(&mount.host.to_path())?;
            }
            // Each has its own name, too, under which it is severed by now.
            for mount in directories.iter().filter(severed).filter(|mount| !own_name(mount)) {
                show_again(&mount.host.to_path(), &mount.inside.to_path())?;
            }
            copy_links_into(directories).map(|()| severing.lost)
        }
    }
}

fn is_of_the_system(path: &Path) -> bool {
    OF_THE_SYSTEM.iter().any(|directory| path.starts_with(directory))
}

/// Shows all there is at the top of the host's root, but for what the command gets its own of.
fn show_host(mut severing: Severing) -> Result<Vec<Loss>, SetUpFailure> {
    for (path, kind) in shown_at_top(Path::new("/"))? {
        if kind.is_symlink() {
            copy_link(&path, &path)?;
        } else if kind.is_dir() && !is_of_the_system(&path) && !severing.is_patched(&path) {
            severing.show(&path)?;
        } else if kind.is_dir() {
            show(&path, &path, true, Access::ReadOnly)?;
        } else if kind.is_file() {
            show_file(&path)?;
        }
        // Sockets, pipes and devices there are none that a command could expect.
    }
    Ok(severing.lost)
}

/// Shows all there is at the top of `root`, a directory of the host, but for what the command gets its own of.
fn show_all(root: &Path) -> Result<(), SetUpFailure> {
    for (inside, kind) in shown_at_top(root)? {
        let host = root.join(inside.strip_prefix("/").unwrap_or(&inside));
        if kind.is_symlink() {
            copy_link(&host, &inside)?;
        } else if kind.is_dir() || kind.is_file() {
            show(&host, &inside, kind.is_dir(), Access::ReadOnly)?;
        }
    }
    Ok(())
}

/// Where in the new root things are to be that lie at the top of `root`.
fn shown_at_top(root: &Path) -> Result<Vec<(PathBuf, FileType)>, SetUpFailure> {
    let inside = list(root)?.into_iter().map(|(name, kind)| (Path::new("/").join(name), kind));
    let own = |path: &Path| {
        let mut own = PRIVATE_DIRECTORIES.iter().chain(&["/proc", "/dev"]);
        own.any(|own| Path::new(own) == path)
    };
    Ok(inside.filter(|(path, _)| !own(path)).collect())
}

/// Copies the links at the top of the host's root that lead to something in `shown`.
fn copy_links_into(shown: &[Mount]) -> Result<(), SetUpFailure> {
    for (name, kind) in list(Path::new("/"))? {
        let link = Path::new("/").join(&name);
        if !kind.is_symlink() {
            continue;
        }
        let target =
            below_old_root(&link).read_link().step_with(|| SetUpStep::ReadLink { path: (&link).into() })?;
        let target = Path::new("/").join(target);
        if shown.iter().any(|mount| target.starts_with(mount.inside.to_path())) && !link.is_symlink() {
            copy_link(&link, &link)?;
        }
    }
    Ok(())
}

/// What lies at the top of `root`. It is not looked at any closer: there may be a file system that does not answer.
fn list(root: &Path) -> Result<Vec<(OsString, FileType)>, SetUpFailure> {
    let list = || -> std::io::Result<_> {
        let entries = below_old_root(root).read_dir()?;
        entries.map(|entry| entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?)))).collect()
    };
    list().step_with(|| SetUpStep::ListRootFileSystem { path: root.into() })
}
