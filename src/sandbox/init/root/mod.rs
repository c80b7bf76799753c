//! The file system a command sees: the host's, read-only, with private and writable places in it. Runs in a
//! new mount namespace. Knows nothing of the command.
//!
//! A fresh tmpfs becomes the root, with the host's root below [`OLD_ROOT`] while the new one is filled from
//! it; then the old root is detached. Nothing of the host is ever covered while it is still needed, so it
//! does not matter where in it things lie.

mod base;
mod mounts;
mod overlay;
mod system_directories;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};
use nix::unistd::{chdir, pivot_root};

use super::step::{Failure, Step};
use crate::sandbox::message::{Command, Root};
use crate::sandbox::view::PRIVATE_DIRECTORIES;
use mounts::{Access, bind, make_private, mount_tmpfs, protect};

/// Where the host's root is while the new one is made.
const OLD_ROOT: &str = "/.crosswheel-host";

/// A root that lacks only the command's own mounts. The host's is still below [`OLD_ROOT`].
pub(super) struct Unfinished {
    /// Whether overlays can be mounted.
    pub overlays: bool,
    /// What could not be had.
    pub lost: Vec<String>,
}

/// Makes the new root and moves into it. `privileged` is whether the user outside is root, who owns the
/// kernel's settings.
pub(super) fn enter(base: &Root, privileged: bool) -> Result<Unfinished, Failure> {
    make_private("/")?;
    // Any directory would do as a foothold: as soon as this mount is the root, nothing is covered any more.
    // `/proc` was just used, so it is there.
    mount_tmpfs("/proc", 0o755)?;
    fs_err::create_dir(Path::new("/proc").join(&OLD_ROOT[1..])).step(|| format!("create {OLD_ROOT}"))?;
    pivot_root("/proc", Path::new("/proc").join(&OLD_ROOT[1..]).as_path())
        .step(|| "make a tmpfs the root".to_owned())?;
    chdir("/").step(|| "move into the new root".to_owned())?;

    let mut lost = Vec::new();
    // First, as the others look up in it what is mounted.
    lost.extend(system_directories::mount_proc(privileged)?);
    base::show_base(base)?;
    lost.extend(system_directories::mount_dev()?);
    mount_private_directories()?;
    let refused = overlay::attempt().err();
    let overlays = refused.is_none();
    lost.extend(refused.map(|failure| format!("overlays (cannot {}: {})", failure.step, failure.error)));
    Ok(Unfinished { overlays, lost })
}

impl Unfinished {
    /// Mounts what the command is to see, and closes the way back to the host. Returns the command's overlays.
    pub(super) fn finish(self, command: &Command) -> Result<Vec<OwnedFd>, Failure> {
        let overlays = command.overlays.iter().map(overlay::mount_overlay).collect::<Result<_, _>>()?;
        for mount in &command.mounts {
            let access = if mount.writable { Access::Writable } else { Access::ReadOnly };
            show(&mount.host.to_path(), &mount.inside.to_path(), mount.directory, access)?;
        }
        umount2(OLD_ROOT, MntFlags::MNT_DETACH).step(|| "detach the host's root".to_owned())?;
        fs_err::remove_dir(OLD_ROOT).step(|| format!("remove {OLD_ROOT}"))?;
        protect(Path::new("/"), Access::ReadOnly, mounts::Depth::ThisOnly)?;
        Ok(overlays)
    }
}

/// Mounts `host`, a path without links, at `inside`.
fn show(host: &Path, inside: &Path, directory: bool, access: Access) -> Result<(), Failure> {
    make_mount_point(inside, directory).step(|| format!("create {inside:?}, to mount {host:?} there"))?;
    bind(&below_old_root(host), inside)?;
    protect(inside, access, mounts::Depth::AllBelow)
}

fn below_old_root(path: &Path) -> PathBuf {
    Path::new(OLD_ROOT).join(path.strip_prefix("/").unwrap_or(path))
}

fn make_mount_point(path: &Path, directory: bool) -> std::io::Result<()> {
    if directory {
        return fs_err::create_dir_all(path);
    }
    if let Some(parent) = path.parent() {
        fs_err::create_dir_all(parent)?;
    }
    if path.exists() {
        return Ok(());
    }
    fs_err::OpenOptions::new().write(true).create_new(true).open(path).map(drop)
}

fn mount_private_directories() -> Result<(), Failure> {
    for directory in PRIVATE_DIRECTORIES {
        let path = Path::new(directory);
        match fs_err::symlink_metadata(path) {
            Ok(existing) if existing.is_dir() => {}
            // It leads to another directory, which is private or protected itself.
            Ok(_) => continue,
            Err(_) if path.parent() == Some(Path::new("/")) => {
                make_mount_point(path, true).step(|| format!("create {directory}"))?;
            }
            Err(_) => continue,
        }
        mount_tmpfs(directory, if directory == "/run" { 0o755 } else { 0o1777 })?;
    }
    Ok(())
}
