//! Mounting, and taking rights away from mounts, on new and on old kernels. Knows nothing of what is mounted
//! where.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change, mount_remount,
};

use super::mount_point::make_mount_point;
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

pub(super) fn mount_tmpfs(path: impl AsRef<Path>, mode: u32) -> Result<(), SetUpFailure> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount_new(FileSystemType::Tmpfs, path.as_ref(), flags, &format!("mode={mode:o}"))
}

/// Mounts a new file system of a kind that needs no device.
pub(super) fn mount_new(
    file_system: FileSystemType,
    path: &Path,
    flags: MountFlags,
    options: &str,
) -> Result<(), SetUpFailure> {
    let name = file_system.name();
    let mount_it = || -> std::io::Result<()> {
        let options = CString::new(options)?;
        Ok(mount(name, path, name, flags, options.as_c_str())?)
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
    // Before the new root has a `/proc`, the host's tells the same.
    let table = ["/proc/self/mountinfo".into(), below_old_root(Path::new("/proc/self/mountinfo"))]
        .iter()
        .find_map(|table: &PathBuf| fs_err::read(table).ok())
        .ok_or_else(|| std::io::Error::other("there is no /proc that lists what is mounted"))?;
    for existing in table.split(|byte| *byte == b'\n').filter_map(Existing::parse) {
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

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, PartialEq)]
struct Existing {
    path: PathBuf,
    flags: MountFlags,
}

impl Existing {
    /// See proc_pid_mountinfo(5): the fifth field is the path, the sixth the flags of the mount.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let path = PathBuf::from(unescape(fields.nth(4)?));
        let flags = fields.next()?.split(|byte| *byte == b',').map(|flag| match flag {
            b"ro" => MountFlags::RDONLY,
            b"nosuid" => MountFlags::NOSUID,
            b"nodev" => MountFlags::NODEV,
            b"noexec" => MountFlags::NOEXEC,
            b"noatime" => MountFlags::NOATIME,
            b"nodiratime" => MountFlags::NODIRATIME,
            b"relatime" => MountFlags::RELATIME,
            _ => MountFlags::empty(),
        });
        Some(Self { path, flags: flags.collect() })
    }
}

/// Spaces, tabs, line breaks and backslashes are written as three octal digits.
fn unescape(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let escaped = (*first == b'\\')
            .then(|| tail.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mount_is_read_with_its_flags() {
        let line =
            br"28 27 0:25 / /mnt/with\040space\134 ro,nosuid,nodev,relatime shared:1 - tmpfs none ro,size=4k";
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RELATIME;
        assert_eq!(Existing::parse(line), Some(Existing { path: r"/mnt/with space\".into(), flags }));
    }

    proptest! {
        #[test]
        fn every_path_survives_the_kernels_escaping(path: Vec<u8>) {
            let mut escaped = Vec::new();
            for byte in &path {
                match byte {
                    b' ' | b'\t' | b'\n' | b'\\' => escaped.extend(format!("\\{byte:03o}").into_bytes()),
                    _ => escaped.push(*byte),
                }
            }
            let unescaped = unescape(&escaped);
            prop_assert_eq!(unescaped.as_bytes(), path);
        }

        #[test]
        fn no_line_makes_the_parser_panic(line: Vec<u8>) {
            let _ = Existing::parse(&line);
        }
    }
}
