//! Trees that a command may change without a change to what they are made of. Knows nothing of who looks at
//! them later.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::{MountFlags, UnmountFlags, unmount};
use rustix::process::chdir;

use super::mount_point::make_mount_point;
use super::mount_table::{Mounted, OUR_SOURCE};
use super::mounts::{mount_new_of, mount_tmpfs};
use super::old_root::{OLD_ROOT, below_old_root};
use crate::sandbox::init::step::Step;
use crate::sandbox::message::OverlayMount;
use crate::sandbox::set_up::{FileSystemType, SetUpFailure, SetUpStep};

/// A directory of the new root with nothing in it while the root is made.
const EMPTY: &str = "/run";

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Finds out whether the kernel lets us mount an overlay, with directories on a file system that is mounted on
/// `place` for that.
pub(super) fn attempt(place: &Path) -> Result<(), SetUpFailure> {
    const TRIAL_BYTES: u64 = 1 << 20;
    mount_tmpfs(place, 0o755, TRIAL_BYTES)?;
    let try_it = || {
        let [lower, upper, work, merged] = ["lower", "upper", "work", "merged"].map(|name| place.join(name));
        for directory in [&lower, &upper, &work, &merged] {
            rustix::fs::mkdir(directory, Mode::RWXU)
                .step_with(|| SetUpStep::Create { inside: directory.into() })?;
        }
        mount_layers(&[open_directory(&lower)?], &open_directory(&upper)?, &open_directory(&work)?, &merged)
    };
    let mounted = try_it();
    unmount(place, UnmountFlags::DETACH).step_with(|| SetUpStep::Unmount { inside: place.into() })?;
    mounted
}

/// Shows the host's directory `place` at the same place, read-only, through an overlay that nothing is written to.
/// `mounted` is the mount that it is in, whose ban on programs is kept.
pub(super) fn mount_severed(place: &Path, mounted: Option<&Mounted>) -> Result<(), SetUpFailure> {
    // An overlay without an upper directory has at least two below. Nothing is in this one yet, or ever will be.
    // It need not be readable: many a directory may be entered and not listed.
    let lower = [open_host(place, OFlags::PATH)?, open_directory(Path::new(EMPTY))?];
    let lower = lower.each_ref().map(|layer| layer.as_raw_fd().to_string()).join(":");
    let no_programs = mounted.map_or(MountFlags::empty(), |mounted| mounted.flags & MountFlags::NOEXEC);
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | no_programs;
    // Without `userxattr`: what the host's users write into attributes of their directories means nothing here, and
    // nobody has to be able to read those.
    mount_options(place, flags, OUR_SOURCE, &format!("lowerdir={lower}"))
}

/// Mounts an overlay; returns its root.
pub(super) fn mount_overlay(overlay: &OverlayMount) -> Result<OwnedFd, SetUpFailure> {
    let lower = overlay.lower.iter().map(|path| open_host_directory(&path.to_path()));
    let lower = lower.collect::<Result<Vec<_>, _>>()?;
    let upper = open_host_directory(&overlay.upper.to_path())?;
    let work = open_host_directory(&overlay.work.to_path())?;
    let inside = overlay.inside.to_path();
    make_mount_point(&inside, true)
        .step_with(|| SetUpStep::CreateOverlayMountPoint { inside: (&inside).into() })?;
    mount_layers(&lower, &upper, &work, &inside)?;
    open_directory(&inside)
}

/// Layers are named by descriptor, in the directory that lists ours: no path has to be escaped, and many fit
/// into the one page that the kernel reads.
fn mount_layers(
    lower: &[OwnedFd],
    upper: &OwnedFd,
    work: &OwnedFd,
    inside: &Path,
) -> Result<(), SetUpFailure> {
    let numbers: Vec<String> = lower.iter().map(|layer| layer.as_raw_fd().to_string()).collect();
    let (lower, upper, work) = (numbers.join(":"), upper.as_raw_fd(), work.as_raw_fd());
    // Without `volatile` the end of the command would write the whole file system of `upper` to its disk.
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work},userxattr,volatile");
    mount_options(inside, MountFlags::NOSUID | MountFlags::NODEV, FileSystemType::Overlay.name(), &options)
}

/// Mounts an overlay of directories that are named by descriptor.
fn mount_options(inside: &Path, flags: MountFlags, source: &str, options: &str) -> Result<(), SetUpFailure> {
    chdir(below_old_root(Path::new("/proc/self/fd"))).step(SetUpStep::EnterDescriptors)?;
    let mounted = mount_new_of(source, FileSystemType::Overlay, inside, flags, options);
    chdir("/").step(SetUpStep::ReturnToRoot)?;
    mounted
}

/// Opens a directory of the host as the host would, wherever absolute links lead.
fn open_host_directory(path: &Path) -> Result<OwnedFd, SetUpFailure> {
    open_host(path, OFlags::empty())
}

fn open_host(path: &Path, flags: OFlags) -> Result<OwnedFd, SetUpFailure> {
    let open = || -> rustix::io::Result<OwnedFd> {
        let root = rustix::fs::open(OLD_ROOT, DIRECTORY, Mode::empty())?;
        let relative = path.strip_prefix("/").unwrap_or(path);
        rustix::fs::openat2(root, relative, DIRECTORY | flags, Mode::empty(), ResolveFlags::IN_ROOT)
    };
    open().step_with(|| SetUpStep::OpenLayer { path: path.into() })
}

fn open_directory(path: &Path) -> Result<OwnedFd, SetUpFailure> {
    rustix::fs::open(path, DIRECTORY, Mode::empty()).step_with(|| SetUpStep::Open { path: path.into() })
}
