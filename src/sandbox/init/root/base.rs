//! The file system on which all else is mounted: the host's, parts of it, or another one. Knows nothing of the
//! command.

use std::ffi::OsString;
use std::fs::FileType;
use std::path::Path;

use super::mounts::{Access, show};
use super::old_root::below_old_root;
use crate::sandbox::init::step::Step;
use crate::sandbox::message::{Mount, Root};
use crate::sandbox::set_up::{SetUpFailure, SetUpStep};
use crate::sandbox::spec::PRIVATE_DIRECTORIES;

/// Fills the new root, an empty tmpfs. Places further up can be made in that, so what the file system lacks at
/// its top does not matter, and nothing is ever written into it.
pub(super) fn show_base(base: &Root) -> Result<(), SetUpFailure> {
    match base {
        Root::Host => show_all(Path::new("/")),
        Root::Directory(root) => show_all(&root.to_path()),
        Root::HostDirectories(mounts) => {
            for mount in mounts {
                show(&mount.host.to_path(), &mount.inside.to_path(), mount.directory, Access::ReadOnly)?;
            }
            copy_links_into(mounts)
        }
    }
}

/// Shows all there is at the top of `root`, a directory of the host, but for what the command gets its own of.
fn show_all(root: &Path) -> Result<(), SetUpFailure> {
    for (name, kind) in list(root)? {
        let (host, inside) = (root.join(&name), Path::new("/").join(&name));
        let own = ["/proc", "/dev"].map(Path::new).contains(&inside.as_path())
            || PRIVATE_DIRECTORIES.map(Path::new).contains(&inside.as_path());
        if own {
            continue;
        }
        if kind.is_symlink() {
            copy_link(&host, &inside)?;
        } else if kind.is_dir() || kind.is_file() {
            show(&host, &inside, kind.is_dir(), Access::ReadOnly)?;
        }
        // Sockets, pipes and devices there are none that a command could expect.
    }
    Ok(())
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

fn copy_link(host: &Path, inside: &Path) -> Result<(), SetUpFailure> {
    let target = below_old_root(host).read_link().step_with(|| SetUpStep::ReadLink { path: host.into() })?;
    std::os::unix::fs::symlink(target, inside).step_with(|| SetUpStep::CreateLink { inside: inside.into() })
}

/// What lies at the top of `root`. It is not looked at any closer: there may be a file system that does not answer.
fn list(root: &Path) -> Result<Vec<(OsString, FileType)>, SetUpFailure> {
    let list = || -> std::io::Result<_> {
        let entries = below_old_root(root).read_dir()?;
        entries.map(|entry| entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?)))).collect()
    };
    list().step_with(|| SetUpStep::ListRootFileSystem { path: root.into() })
}
