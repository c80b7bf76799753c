//! `/proc` and `/dev` of the command. Knows nothing of the rest of its file system.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::mount::MountFlags;

use super::mount_point::make_mount_point;
use super::mounts::{Access, Depth, bind, mount_new, mount_tmpfs, protect};
use super::old_root::{OLD_ROOT, below_old_root};
use crate::sandbox::init::step::Step;
use crate::sandbox::set_up::{FileSystemType, Loss, SetUpFailure, SetUpStep};

/// A `/proc` of the new pid namespace, with `settings` read-only; the host's, and a note, where the kernel
/// refuses one (as it does when parts of the host's are covered, which is common in containers: a new one
/// would uncover them).
pub(super) fn mount_proc(settings: &[PathBuf]) -> Result<Option<Loss>, SetUpFailure> {
    let path = Path::new("/proc");
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    match mount_new(FileSystemType::Proc, path, flags, "") {
        Ok(()) => {
            for setting in settings {
                bind(&below_old_root(setting), setting)?;
            }
            Ok(None)
        }
        Err(failure) => {
            bind(&below_old_root(path), path)?;
            protect(path, Access::ReadOnly, Depth::AllBelow)?;
            Ok(Some(Loss::PrivateProc(failure)))
        }
    }
}

/// The kernel lets root outside write its settings (`/proc/sys`, `/proc/sysrq-trigger`) for being their
/// owner, even when it has no capabilities. They are the same files in every `/proc`, so they are made read-only
/// in our copy of the host's, and from there mounted over those in new ones. Returns all but the processes
/// that may be written to.
pub(super) fn protect_settings_of_host() -> Result<Vec<PathBuf>, SetUpFailure> {
    let mut settings = Vec::new();
    for entry in below_old_root(Path::new("/proc")).read_dir().step(SetUpStep::ListHostProc)? {
        let entry = entry.step(SetUpStep::ListHostProc)?;
        // There may be thousands of processes.
        if entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        let path = entry.path();
        let Ok(metadata) = fs_err::symlink_metadata(&path) else { continue };
        let writable = metadata.is_dir() || metadata.is_file() && metadata.permissions().mode() & 0o222 != 0;
        if writable {
            bind(&path, &path)?;
            protect(&path, Access::ReadOnly, Depth::AllBelow)?;
            settings.push(Path::new("/proc").join(entry.file_name()));
        }
    }
    Ok(settings)
}

/// Makes a `/dev` with nothing in it but mount points.
pub(super) fn mount_dev() -> Result<(), SetUpFailure> {
    let make = |path: &str| {
        make_mount_point(Path::new(path), true).step_with(|| SetUpStep::Create { inside: path.into() })
    };
    make("/dev")?;
    mount_tmpfs("/dev", 0o755, 1 << 20)?;
    make("/dev/shm")?;
    make("/dev/pts")
}

/// The devices every program may expect. Not the host's: who is root outside owns its disks, and a read-only
/// mount does not keep the owner of a device from writing to it.
pub(super) fn fill_dev() -> Result<(), SetUpFailure> {
    const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
    const LINKS: [(&str, &str); 5] = [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
        ("pts/ptmx", "/dev/ptmx"),
    ];
    for name in DEVICES {
        let host = Path::new(OLD_ROOT).join("dev").join(name);
        // A host without it, a container perhaps, has programs that do without.
        if fs_err::metadata(&host).is_ok_and(|found| found.file_type().is_char_device()) {
            let inside = Path::new("/dev").join(name);
            make_mount_point(&inside, false).step_with(|| SetUpStep::Create { inside: (&inside).into() })?;
            bind(&host, &inside)?;
            protect(&inside, Access::Device, Depth::ThisOnly)?;
        }
    }
    for (target, link) in LINKS {
        std::os::unix::fs::symlink(target, link)
            .step_with(|| SetUpStep::CreateLink { inside: link.into() })?;
    }
    protect(Path::new("/dev"), Access::ReadOnly, Depth::ThisOnly)
}

/// Terminals that are the command's own; a note where there are none.
pub(super) fn mount_terminals() -> Option<Loss> {
    let options = "newinstance,ptmxmode=0666,mode=0620";
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount_new(FileSystemType::Devpts, Path::new("/dev/pts"), flags, options).err().map(Loss::Terminals)
}
