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

use super::host_mounts::HostMounts;
use super::mount_point::make_mount_point;
use super::mount_table::OUR_SOURCE;
use super::mounts::{Access, Depth, make_private, mount_tmpfs, protect, show};
use super::old_root::OLD_ROOT;
use super::private::PrivateDirectories;
use super::{base, hiding, overlay, system_directories};
use crate::sandbox::init::step::Step;
use crate::sandbox::message::{Command, Request};
use crate::sandbox::set_up::{Loss, SetUpFailure, SetUpStep};
use crate::sandbox::text::Text;
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
    /// Where what no command may see would be.
    covered: Vec<PathBuf>,
    /// Whether what the host shows in `/proc` is a sandbox's own.
    in_a_sandbox: bool,
    /// How much memory a command's own directories may take together, unless it is to have less.
    private_bytes: u64,
}

/// A root that lacks only the command's own mounts.
pub(crate) struct Unfinished<'a> {
    template: &'a Template,
    /// What could not be had.
    pub lost: Vec<Loss>,
    private: PrivateDirectories,
}

/// A root as the command sees it.
pub(crate) struct Finished {
    /// The roots of the command's overlays.
    pub overlays: Vec<OwnedFd>,
    /// A directory of the file system that has its own directories in memory.
    pub in_memory: &'static str,
}

/// Most memory that what is the same for every command may take: mount points, links and nothing else.
const ROOT_BYTES: u64 = 64 << 20;

impl Template {
    /// Makes the new root and moves into it. `privileged` is whether the user outside is root, who owns the
    /// kernel's settings.
    pub(crate) fn build(request: &Request, privileged: bool) -> Result<Self, SetUpFailure> {
        make_private("/")?;
        // Any directory would do as a foothold: as soon as this mount is the root, nothing is covered any more.
        // `/proc` was just used, so it is there.
        mount_tmpfs("/proc", 0o755, ROOT_BYTES)?;
        let first_place = Path::new("/.crosswheel-host");
        mkdir("/proc/.crosswheel-host", Mode::RWXU)
            .step_with(|| SetUpStep::Create { inside: first_place.into() })?;
        pivot_root("/proc", "/proc/.crosswheel-host").step(SetUpStep::PivotRoot)?;
        chdir("/").step(SetUpStep::EnterRoot)?;
        system_directories::mount_dev()?;
        mount_move(first_place, OLD_ROOT).step(SetUpStep::MoveHostRoot)?;
        std::fs::remove_dir(first_place).step_with(|| SetUpStep::Remove { inside: first_place.into() })?;
        system_directories::fill_dev()?;

        for directory in ["/proc", "/tmp", "/run"] {
            make_mount_point(Path::new(directory), true)
                .step_with(|| SetUpStep::Create { inside: directory.into() })?;
        }
        let refused = overlay::attempt(Path::new("/tmp")).err();
        let overlays = refused.is_none();
        let mounts = HostMounts::read()?;
        let mut lost = base::show_base(&request.root, &mounts, refused.as_ref())?;
        lost.extend(refused.map(Loss::Overlays));
        let hidden: Vec<PathBuf> = request.hidden.iter().map(Text::to_path).collect();
        let covered = hiding::hide(&hidden, &request.root, &mounts)?;
        let root_of_host = mounts.at(Path::new("/"));
        let in_a_sandbox = root_of_host.is_some_and(|root| root.source == *OUR_SOURCE);
        let settings = if privileged { system_directories::protect_settings_of_host()? } else { Vec::new() };
        let skeleton = skeleton().step(SetUpStep::ListNewRoot)?;
        let private_bytes = request.private_bytes;
        Ok(Self { overlays, lost, settings, skeleton, covered, in_a_sandbox, private_bytes })
    }

    /// Mounts what must be new for each command, in a copy of the mount namespace and a new pid namespace.
    pub(crate) fn furnish(&self) -> Result<Unfinished<'_>, SetUpFailure> {
        let mut lost = Vec::new();
        // In a sandbox of ours nothing of the host is lost with it: there, the processes of that sandbox are seen.
        lost.extend(system_directories::mount_proc(&self.settings)?.filter(|_| !self.in_a_sandbox));
        lost.extend(system_directories::mount_terminals());
        let private = PrivateDirectories::mount(self.private_bytes)?;
        Ok(Unfinished { template: self, lost, private })
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

impl Unfinished<'_> {
    /// Mounts what the command is to see, and closes the way back to the host.
    pub(crate) fn finish(self, command: &Command) -> Result<Finished, SetUpFailure> {
        let overlays =
            command.overlays.iter().map(overlay::mount_overlay).collect::<Result<Vec<_>, SetUpFailure>>()?;
        let covers = self.uncover(command)?;
        for mount in &command.mounts {
            let access = if mount.writable { Access::Writable } else { Access::ReadOnly };
            show(&mount.host.to_path(), &mount.inside.to_path(), mount.directory, access)?;
        }
        for cover in covers {
            protect(cover, Access::ReadOnly, Depth::ThisOnly)?;
        }
        unmount(OLD_ROOT, UnmountFlags::DETACH).step(SetUpStep::DetachHostRoot)?;
        let most = command.limits.private_bytes();
        if most < self.template.private_bytes {
            self.private.resize(most)?;
        }
        let in_memory = self.private.finish()?;
        protect(Path::new("/"), Access::ReadOnly, Depth::ThisOnly)?;
        Ok(Finished { overlays, in_memory })
    }

    /// Makes room where something is to be seen in a place that is covered: for this command, another cover that can be
    /// written to until that is done. Returns those.
    fn uncover(&self, command: &Command) -> Result<Vec<&Path>, SetUpFailure> {
        let mut covers = Vec::new();
        for cover in &self.template.covered {
            if command.mounts.iter().any(|mount| mount.inside.to_path().starts_with(cover)) {
                mount_tmpfs(cover, 0o555, ROOT_BYTES)?;
                covers.push(cover.as_path());
            }
        }
        Ok(covers)
    }
}
