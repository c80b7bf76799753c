//! Mounting, and taking rights away from mounts, on new and on old kernels. Knows nothing of what is mounted
//! where.

use std::ffi::CString;
use std::path::Path;

use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change, mount_remount,
};

use super::mount_point::make_mount_point;
use super::mount_table::{OUR_SOURCE, mounted};
use super::old_root::below_old_root;
use crate::sandbox::init::step::Step;
use crate::sandbox::init::system;
use crate::sandbox::set_up::{FileSystemType, SetUpFailure, SetUpStep};

/// What may be done with the files of a mount. Devices and setuid bits have no effect either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    ReadOnly,
    Writable,
    /// The one file is a device that must work.
    Device,
}

/// How far [`protect`] reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    ThisOnly,
    AllBelow,
}

/// Nothing that is mounted here is seen by the host, or the other way round.
pub(in crate::sandbox::init) fn make_private(path: &str) -> Result<(), SetUpFailure> {
    mount_change(path, MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .step(SetUpStep::MakeMountsPrivate)
}

/// Mounts an empty file system in memory, which takes up to `bytes` of it. The files in it are bounded, too.
pub(super) fn mount_tmpfs(path: impl AsRef<Path>, mode: u32, bytes: u64) -> Result<(), SetUpFailure> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let options = format!("mode={mode:o},{}", tmpfs_bounds(bytes));
    mount_new_of(OUR_SOURCE, FileSystemType::Tmpfs, path.as_ref(), flags, &options)
}

/// Changes how much memory a [tmpfs](mount_tmpfs) may take.
pub(super) fn resize_tmpfs(path: &Path, bytes: u64) -> Result<(), SetUpFailure> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let resize = || -> std::io::Result<()> {
        let options = CString::new(tmpfs_bounds(bytes))?;
        Ok(mount_remount(path, flags, options.as_c_str())?)
    };
    resize().step_with(|| SetUpStep::Resize { inside: path.into() })
}

/// An inode takes about a kilobyte of the kernel's own memory, which `size` does not count.
fn tmpfs_bounds(bytes: u64) -> String {
    format!("size={bytes},nr_inodes={}", (bytes / 4096).max(64))
}

/// Mounts a new file system of a kind that needs no device.
pub(super) fn mount_new(
    file_system: FileSystemType,
    path: &Path,
    flags: MountFlags,
    options: &str,
) -> Result<(), SetUpFailure> {
    mount_new_of(file_system.name(), file_system, path, flags, options)
}

/// As [`mount_new`]; `source` is what the table of mounts says that it is.
pub(super) fn mount_new_of(
    source: &str,
    file_system: FileSystemType,
    path: &Path,
    flags: MountFlags,
    options: &str,
) -> Result<(), SetUpFailure> {
    let mount_it = || -> std::io::Result<()> {
        let options = CString::new(options)?;
        Ok(mount(source, path, file_system.name(), flags, options.as_c_str())?)
    };
    mount_it().step_with(|| SetUpStep::MountNew { file_system, inside: path.into() })
}

/// Mounts `source` and all that is mounted below it at `target` too.
pub(super) fn bind(source: &Path, target: &Path) -> Result<(), SetUpFailure> {
    mount_bind_recursive(source, target).step_with(|| SetUpStep::Bind { inside: target.into() })
}

/// Mounts `host`, a path without links, at `inside`.
pub(super) fn show(host: &Path, inside: &Path, directory: bool, access: Access) -> Result<(), SetUpFailure> {
    make_mount_point(inside, directory)
        .step_with(|| SetUpStep::CreateMountPoint { inside: inside.into(), host: host.into() })?;
    bind(&below_old_root(host), inside)?;
    protect(inside, access, Depth::AllBelow)
}

/// Mounts the directory `shown` of the new root at `inside`, too.
pub(super) fn show_again(shown: &Path, inside: &Path) -> Result<(), SetUpFailure> {
    make_mount_point(inside, true)
        .step_with(|| SetUpStep::CreateMountPoint { inside: inside.into(), host: shown.into() })?;
    bind(shown, inside)
}

/// Takes away from the mount at `path` what `access` does not include.
pub(super) fn protect(path: &Path, access: Access, depth: Depth) -> Result<(), SetUpFailure> {
    let (attributes, flags) = match access {
        Access::ReadOnly => (
            system::READ_ONLY | system::NO_SETUID | system::NO_DEVICES,
            MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV,
        ),
        Access::Writable => (system::NO_SETUID | system::NO_DEVICES, MountFlags::NOSUID | MountFlags::NODEV),
        Access::Device => (system::NO_SETUID, MountFlags::NOSUID),
    };
    // Refused by kernels before 5.12, and by container runtimes that know no newer ones: any error means the
    // old way.
    system::add_mount_attributes(path, attributes, depth == Depth::AllBelow)
        .or_else(|_| remount(path, flags, depth))
        .step_with(|| SetUpStep::Protect { inside: path.into() })
}

/// The old way to change flags: mount by mount, and with all flags each one has already, as the kernel would
/// take a missing one for a wish to lose it.
fn remount(path: &Path, flags: MountFlags, depth: Depth) -> std::io::Result<()> {
    for existing in mounted()? {
        let meant = match depth {
            Depth::ThisOnly => existing.path == path,
            Depth::AllBelow => existing.path.starts_with(path),
        };
        if meant {
            let flags = existing.flags | flags | MountFlags::BIND;
            mount_remount(&existing.path, flags, "")?;
        }
    }
    Ok(())
}
