//! Trees that a command may change without a change to what they are made of. Knows nothing of who looks at
//! them later.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::{MountFlags, UnmountFlags, unmount};
use rustix::process::chdir;

use super::mount_point::make_mount_point;
use super::mounts::{mount_new, mount_tmpfs};
use super::old_root::{OLD_ROOT, below_old_root};
use crate::sandbox::init::step::Step;
use crate::sandbox::message::OverlayMount;
use crate::sandbox::set_up::{FileSystemType, SetUpFailure, SetUpStep};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Finds out whether the kernel lets us mount an overlay, with directories on a file system that is mounted on
/// `place` for that.
pub(super) fn attempt(place: &Path) -> Result<(), SetUpFailure> {
    mount_tmpfs(place, 0o755)?;
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
    chdir(below_old_root(Path::new("/proc/self/fd"))).step(SetUpStep::EnterDescriptors)?;
    let mounted =
        mount_new(FileSystemType::Overlay, inside, MountFlags::NOSUID | MountFlags::NODEV, &options);
    chdir("/").step(SetUpStep::ReturnToRoot)?;
    mounted
}

/// Opens a directory of the host as the host would, wherever absolute links lead.
fn open_host_directory(path: &Path) -> Result<OwnedFd, SetUpFailure> {
    let open = || -> rustix::io::Result<OwnedFd> {
        let root = rustix::fs::open(OLD_ROOT, DIRECTORY, Mode::empty())?;
        let relative = path.strip_prefix("/").unwrap_or(path);
        rustix::fs::openat2(root, relative, DIRECTORY, Mode::empty(), ResolveFlags::IN_ROOT)
    };
    open().step_with(|| SetUpStep::OpenLayer { path: path.into() })
}

fn open_directory(path: &Path) -> Result<OwnedFd, SetUpFailure> {
    rustix::fs::open(path, DIRECTORY, Mode::empty()).step_with(|| SetUpStep::Open { path: path.into() })
}
