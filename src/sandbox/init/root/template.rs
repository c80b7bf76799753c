//! The three steps in which the root of a command is made, each from what the one before has left. Knows nothing of the
//! command but what it is to see.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, mkdir};
use rustix::mount::{UnmountFlags, mount_move, unmount};
use rustix::process::{chdir, pivot_root};

use super::mount_point::make_mount_point;
use super::mounts::{Access, Depth, make_private, mount_tmpfs, protect, show};
use super::old_root::OLD_ROOT;
use super::{base, overlay, system_directories};
use crate::sandbox::init::step::Step;
use crate::sandbox::message::{Command, Root};
use crate::sandbox::set_up::{Loss, SetUpFailure, SetUpStep};
use crate::sandbox::spec::PRIVATE_DIRECTORIES;
use crate::scratch::removal::remove;

/// A root that lacks what must be new for each command. The host's is below [`OLD_ROOT`].
pub(crate) struct Template {
    /// Whether overlays can be mounted.
    pub overlays: bool,
    /// What could not be had.
    pub lost: Vec<Loss>,
    /// Places in `/proc` that must not be written to.
    settings: Vec<PathBuf>,
    /// The directories on the tmpfs that is the root, and what is in each.
    skeleton: Vec<(PathBuf, HashSet<OsString>)>,
}

/// A root that lacks only the command's own mounts.
pub(crate) struct Unfinished {
    /// What could not be had.
    pub lost: Vec<Loss>,
}

impl Template {
    /// Makes the new root and moves into it. `privileged` is whether the user outside is root, who owns the
    /// kernel's settings.
    pub(crate) fn build(base: &Root, privileged: bool) -> Result<Self, SetUpFailure> {
        make_private("/")?;
        // Any directory would do as a foothold: as soon as this mount is the root, nothing is covered any more.
        // `/proc` was just used, so it is there.
        mount_tmpfs("/proc", 0o755)?;
        let first_place = Path::new("/.crosswheel-host");
        mkdir("/proc/.crosswheel-host", Mode::RWXU)
            .step_with(|| SetUpStep::Create { inside: first_place.into() })?;
        pivot_root("/proc", "/proc/.crosswheel-host").step(SetUpStep::PivotRoot)?;
        chdir("/").step(SetUpStep::EnterRoot)?;
        system_directories::mount_dev()?;
        mount_move(first_place, OLD_ROOT).step(SetUpStep::MoveHostRoot)?;
        std::fs::remove_dir(first_place).step_with(|| SetUpStep::Remove { inside: first_place.into() })?;
        system_directories::fill_dev()?;

        base::show_base(base)?;
        for directory in ["/proc", "/tmp", "/run"] {
            make_mount_point(Path::new(directory), true)
                .step_with(|| SetUpStep::Create { inside: directory.into() })?;
        }
        let refused = overlay::attempt(Path::new("/tmp")).err();
        let overlays = refused.is_none();
        let lost = Vec::from_iter(refused.map(Loss::Overlays));
        let settings = if privileged { system_directories::protect_settings_of_host()? } else { Vec::new() };
        let skeleton = skeleton().step(SetUpStep::ListNewRoot)?;
        Ok(Self { overlays, lost, settings, skeleton })
    }

    /// Mounts what must be new for each command, in a copy of the mount namespace and a new pid namespace.
    pub(crate) fn furnish(&self) -> Result<Unfinished, SetUpFailure> {
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
    pub(crate) fn sweep(&self) -> Result<(), SetUpFailure> {
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
        sweep().step(SetUpStep::RemoveMountPoints)
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
    pub(crate) fn finish(self, command: &Command) -> Result<Vec<OwnedFd>, SetUpFailure> {
        let overlays =
            command.overlays.iter().map(overlay::mount_overlay).collect::<Result<Vec<_>, SetUpFailure>>()?;
        for mount in &command.mounts {
            let access = if mount.writable { Access::Writable } else { Access::ReadOnly };
            show(&mount.host.to_path(), &mount.inside.to_path(), mount.directory, access)?;
        }
        unmount(OLD_ROOT, UnmountFlags::DETACH).step(SetUpStep::DetachHostRoot)?;
        system_directories::mount_shared_memory()?;
        protect(Path::new("/"), Access::ReadOnly, Depth::ThisOnly)?;
        Ok(overlays)
    }
}
