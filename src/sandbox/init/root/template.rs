//! The file system a command sees: the host's (or another root), read-only, with private and writable places in
//! it. Knows nothing of the command but what it is to see.
//!
//! A fresh tmpfs becomes the root, with the host's root below [`OLD_ROOT`] while the new one is filled from
//! it; then the old root is detached. Nothing of the host is ever covered while it is still needed, so it
//! does not matter where in it things lie.
//!
//! It is done in three steps. The template holds what is the same for every command; it is built once, in the
//! nursery's mount namespace. A copy of that namespace gets the places that must be new for each command, and
//! then those that the command asks for.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, mount_move, unmount};
use rustix::process::{chdir, pivot_root};

use super::base;
use super::mounts;
use super::mounts::make_private;
use super::overlay;
use super::system_directories;
use crate::sandbox::init::step::{Failure, Step};
use crate::sandbox::message::{Command, Root};
use crate::sandbox::view::PRIVATE_DIRECTORIES;
use crate::scratch::removal::remove;

use super::mounts::{Access, Depth, bind, mount_tmpfs, protect};

/// Where the host's root is while a new one is made: where the command will have its shared memory, as that is
/// the one place at which nobody wants to see anything else.
pub(super) const OLD_ROOT: &str = "/dev/shm";

/// A root that lacks what must be new for each command. The host's is below [`OLD_ROOT`].
pub(crate) struct Template {
    /// Whether overlays can be mounted.
    pub overlays: bool,
    /// What could not be had.
    pub lost: Vec<String>,
    /// Places in `/proc` that must not be written to.
    settings: Vec<PathBuf>,
    /// The directories on the tmpfs that is the root, and what is in each.
    skeleton: Vec<(PathBuf, HashSet<OsString>)>,
}

/// A root that lacks only the command's own mounts.
pub(crate) struct Unfinished {
    /// What could not be had.
    pub lost: Vec<String>,
}

impl Template {
    /// Makes the new root and moves into it. `privileged` is whether the user outside is root, who owns the
    /// kernel's settings.
    pub(crate) fn build(base: &Root, privileged: bool) -> Result<Self, Failure> {
        make_private("/")?;
        // Any directory would do as a foothold: as soon as this mount is the root, nothing is covered any more.
        // `/proc` was just used, so it is there.
        mount_tmpfs("/proc", 0o755)?;
        let first_place = Path::new("/.crosswheel-host");
        fs_err::create_dir("/proc/.crosswheel-host").step(|| format!("create {first_place:?}"))?;
        pivot_root("/proc", "/proc/.crosswheel-host").step(|| "make a tmpfs the root".to_owned())?;
        chdir("/").step(|| "move into the new root".to_owned())?;
        system_directories::mount_dev()?;
        mount_move(first_place, OLD_ROOT).step(|| "move the host's root aside".to_owned())?;
        fs_err::remove_dir(first_place).step(|| format!("remove {first_place:?}"))?;
        system_directories::fill_dev()?;

        base::show_base(base)?;
        for directory in ["/proc", "/tmp", "/run"] {
            make_mount_point(Path::new(directory), true).step(|| format!("create {directory}"))?;
        }
        let refused = overlay::attempt(Path::new("/tmp")).err();
        let overlays = refused.is_none();
        let lost = refused.map(|failure| format!("overlays (cannot {}: {})", failure.step, failure.error));
        let lost = Vec::from_iter(lost);
        let settings = if privileged { system_directories::protect_settings_of_host()? } else { Vec::new() };
        let skeleton = skeleton().step(|| "list the new root".to_owned())?;
        Ok(Self { overlays, lost, settings, skeleton })
    }

    /// Mounts what must be new for each command, in a copy of the mount namespace and a new pid namespace.
    pub(crate) fn furnish(&self) -> Result<Unfinished, Failure> {
        let mut lost = Vec::from_iter(system_directories::mount_proc(&self.settings)?);
        lost.extend(system_directories::mount_terminals());
        for directory in PRIVATE_DIRECTORIES {
            // One that is missing, as /var/tmp may be in a small root, cannot be made; a link leads to another
            // directory, which is private or protected itself.
            if fs_err::symlink_metadata(directory).is_ok_and(|found| found.is_dir()) {
                mount_tmpfs(directory, if directory == "/run" { 0o755 } else { 0o1777 })?;
            }
        }
        Ok(Unfinished { lost })
    }

    /// Removes the mount points that a command needed: the tmpfs itself is the same for all. Its mounts are gone
    /// with its namespace.
    pub(crate) fn sweep(&self) -> Result<(), Failure> {
        let sweep = || -> std::io::Result<()> {
            for (directory, names) in &self.skeleton {
                for entry in fs_err::read_dir(directory)? {
                    let entry = entry?;
                    if names.contains(&entry.file_name()) {
                        continue;
                    }
                    remove(entry.path())?;
                }
            }
            Ok(())
        };
        sweep().step(|| "remove the mount points of a command".to_owned())
    }
}

/// The directories that lie on the root's own file system, and what is in each.
fn skeleton() -> std::io::Result<Vec<(PathBuf, HashSet<OsString>)>> {
    let device = fs_err::symlink_metadata("/")?.dev();
    let mut directories = vec![PathBuf::from("/")];
    let mut found = Vec::new();
    while let Some(directory) = directories.pop() {
        let mut names = HashSet::new();
        for entry in fs_err::read_dir(&directory)? {
            let entry = entry?;
            let metadata = fs_err::symlink_metadata(entry.path())?;
            // What belongs to another file system is mounted there, on a place that is ours.
            if metadata.dev() == device && metadata.is_dir() {
                directories.push(entry.path());
            }
            names.insert(entry.file_name());
        }
        found.push((directory, names));
    }
    Ok(found)
}

impl Unfinished {
    /// Mounts what the command is to see, and closes the way back to the host. Returns the command's overlays.
    pub(crate) fn finish(self, command: &Command) -> Result<Vec<OwnedFd>, Failure> {
        let overlays =
            command.overlays.iter().map(overlay::mount_overlay).collect::<Result<Vec<_>, Failure>>()?;
        for mount in &command.mounts {
            let access = if mount.writable { Access::Writable } else { Access::ReadOnly };
            show(&mount.host.to_path(), &mount.inside.to_path(), mount.directory, access)?;
        }
        unmount(OLD_ROOT, UnmountFlags::DETACH).step(|| "detach the host's root".to_owned())?;
        system_directories::mount_shared_memory()?;
        protect(Path::new("/"), Access::ReadOnly, Depth::ThisOnly)?;
        Ok(overlays)
    }
}

/// Mounts `host`, a path without links, at `inside`.
pub(super) fn show(host: &Path, inside: &Path, directory: bool, access: Access) -> Result<(), Failure> {
    make_mount_point(inside, directory).step(|| format!("create {inside:?}, to mount {host:?} there"))?;
    bind(&below_old_root(host), inside)?;
    protect(inside, access, mounts::Depth::AllBelow)
}

pub(super) fn below_old_root(path: &Path) -> PathBuf {
    Path::new(OLD_ROOT).join(path.strip_prefix("/").unwrap_or(path))
}

/// A link in an overlay, which may come from anybody, must not lead to the host's own files.
pub(super) fn make_mount_point(path: &Path, directory: bool) -> std::io::Result<()> {
    let existing = path.ancestors().find_map(|ancestor| fs_err::canonicalize(ancestor).ok());
    if existing.is_some_and(|existing| existing.starts_with(OLD_ROOT)) {
        return Err(std::io::Error::other("it is not in the root file system"));
    }
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
