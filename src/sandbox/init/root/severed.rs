//! Directories of the host without what lives in them: a read-only mount does not keep anybody from connecting to a
//! socket whose path they see, or from taking a lock or a lease on a file that others use. Through an overlay without an
//! upper directory there are the same files under other inodes, of which neither those who listen nor those who lock
//! know. Knows nothing of which directories.

use std::ffi::{OsStr, OsString};
use std::fs::FileType;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::host_mounts::HostMounts;
use super::mount_point::make_mount_point;
use super::mount_table::{Mounted, OUR_SOURCE};
use super::mounts::{self, show};
use super::old_root::below_old_root;
use super::overlay::mount_severed;
use crate::sandbox::init::step::Step;
use crate::sandbox::set_up::{Loss, SetUpCause, SetUpFailure, SetUpStep};

/// Kinds of file systems in which nobody can have a socket that somebody else could reach.
const WITHOUT_SOCKETS: [&str; 28] = [
    "9p",
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "efivarfs",
    "erofs",
    "exfat",
    "fuseblk",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "ntfs3",
    "proc",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "squashfs",
    "sysfs",
    "tracefs",
    "udf",
    "vfat",
];

/// Kinds that are asked nothing, and so cannot keep us waiting: overlays are made of these only.
const LOCAL: [&str; 12] =
    ["bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs", "tmpfs", "xfs", "zfs"];

/// Most entries of a directory that are shown one by one, because something is mounted further below.
const MOST_ENTRIES: usize = 512;

/// Shows directories of the host.
pub(super) struct Severing<'a> {
    mounts: &'a HostMounts,
    /// Whether there are overlays at all.
    possible: bool,
    /// What could not be severed.
    pub lost: Vec<Loss>,
}

impl<'a> Severing<'a> {
    /// `refused` is why there are no overlays, if there are none.
    pub(super) fn new(mounts: &'a HostMounts, refused: Option<&SetUpFailure>) -> Self {
        let lost = refused.map(|refused| Loss::Severed(refused.clone()));
        Self { mounts, possible: refused.is_none(), lost: Vec::from_iter(lost) }
    }

    /// Whether the directory is one of a container's, which mounts single files over some in `/etc`. Nobody has sockets
    /// there, and to show it file by file would make a hundred mounts for each command.
    pub(super) fn is_patched(&self, top: &Path) -> bool {
        top == Path::new("/etc") && self.mounts.has_any_below(top)
    }

    /// Shows the host's directory `top` at the same place, with all that is mounted below it.
    pub(super) fn show(&mut self, top: &Path) -> Result<(), SetUpFailure> {
        if !self.possible {
            return show(top, top, true, mounts::Access::ReadOnly);
        }
        let mut places = vec![top.to_owned()];
        while let Some(place) = places.pop() {
            let mounted = self.mounts.at(&place);
            if mounted.is_some_and(is_harmless) {
                show(&place, &place, true, mounts::Access::ReadOnly)?;
            } else if self.mounts.has_any_below(&place) {
                // An overlay would show what the mounts below cover, so the kernel makes none of such a directory.
                match entries(&place) {
                    Ok(entries) => show_entries(&place, entries, &mut places)?,
                    Err(cause) => self.show_whole(&place, cause)?,
                }
            } else {
                self.show_one(&place, mounted)?;
            }
        }
        Ok(())
    }

    fn show_one(&mut self, place: &Path, mounted: Option<&Mounted>) -> Result<(), SetUpFailure> {
        let kind = mounted.map_or("", |mounted| &mounted.kind);
        if !LOCAL.contains(&kind) {
            let problem = format!("its file system is of the kind {kind:?}");
            return self.show_whole(place, SetUpCause::Other(problem));
        }
        make_mount_point(place, true)
            .step_with(|| SetUpStep::CreateMountPoint { inside: place.into(), host: place.into() })?;
        match mount_severed(place, mounted) {
            Ok(()) => Ok(()),
            Err(failure) => self.show_whole(place, failure.cause),
        }
    }

    /// As it is, with its sockets.
    fn show_whole(&mut self, place: &Path, cause: SetUpCause) -> Result<(), SetUpFailure> {
        show(place, place, true, mounts::Access::ReadOnly)?;
        // Of what this user may not enter there is nothing to connect to.
        if rustix::fs::access(below_old_root(place), Access::EXEC_OK).is_ok() {
            let step = SetUpStep::Sever { path: place.into() };
            self.lost.push(Loss::Severed(SetUpFailure { step, cause }));
        }
        Ok(())
    }
}

/// What lies in mounts of ours is severed already.
fn is_harmless(mounted: &Mounted) -> bool {
    WITHOUT_SOCKETS.contains(&mounted.kind.as_str()) || mounted.source == OsStr::new(OUR_SOURCE)
}

/// What is in a directory, unless it is too much.
fn entries(place: &Path) -> Result<Vec<(OsString, FileType)>, SetUpCause> {
    let mut found = Vec::new();
    for entry in below_old_root(place).read_dir()? {
        let entry = entry?;
        found.push((entry.file_name(), entry.file_type()?));
        if found.len() > MOST_ENTRIES {
            let problem = format!("more than {MOST_ENTRIES} files lie beside what is mounted in it");
            return Err(SetUpCause::Other(problem));
        }
    }
    Ok(found)
}

/// Shows what is in a directory one by one, in a directory of our own; directories are left for later.
fn show_entries(
    place: &Path,
    entries: Vec<(OsString, FileType)>,
    places: &mut Vec<PathBuf>,
) -> Result<(), SetUpFailure> {
    make_mount_point(place, true)
        .step_with(|| SetUpStep::CreateMountPoint { inside: place.into(), host: place.into() })?;
    for (name, kind) in entries {
        let path = place.join(name);
        if kind.is_dir() {
            places.push(path);
        } else if kind.is_symlink() {
            copy_link(&path, &path)?;
        } else if kind.is_file() {
            show_file(&path)?;
        }
    }
    Ok(())
}

/// Files up to this size are copied where they cannot be shown through an overlay.
const SMALL: u64 = 64 << 10;

/// Shows a file of the host beside what is mounted: small ones as copies, whose locks are nobody else's.
pub(super) fn show_file(path: &Path) -> Result<(), SetUpFailure> {
    let host = below_old_root(path);
    let metadata = fs_err::symlink_metadata(&host).ok();
    let small = metadata.filter(|metadata| metadata.is_file() && metadata.len() <= SMALL);
    if let Some(metadata) = small
        && let Ok(bytes) = fs_err::read(&host)
    {
        let write = || -> std::io::Result<()> {
            fs_err::write(path, bytes)?;
            fs_err::set_permissions(path, metadata.permissions())
        };
        return write().step_with(|| SetUpStep::Create { inside: path.into() });
    }
    show(path, path, false, mounts::Access::ReadOnly)
}

/// Makes a link like the host's at `host`.
pub(super) fn copy_link(host: &Path, inside: &Path) -> Result<(), SetUpFailure> {
    let target = below_old_root(host).read_link().step_with(|| SetUpStep::ReadLink { path: host.into() })?;
    std::os::unix::fs::symlink(target, inside).step_with(|| SetUpStep::CreateLink { inside: inside.into() })
}
