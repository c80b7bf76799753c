//! What is mounted in this process's mount namespace, as the kernel lists it. Knows nothing of who mounts what.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::mount::MountFlags;

use super::old_root::below_old_root;

/// What the mounts of a sandbox of ours say that they are.
pub(super) const OUR_SOURCE: &str = "crosswheel";

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mounted {
    pub id: u32,
    /// The mount on which it is mounted.
    pub parent: u32,
    /// Major and minor number of the file system.
    pub device: String,
    /// Which directory (or file) of the file system it is.
    pub part: PathBuf,
    /// Where it is.
    pub path: PathBuf,
    pub flags: MountFlags,
    /// The kind of file system.
    pub kind: String,
    /// What whoever mounted it said that it is.
    pub source: OsString,
}

/// All mounts, parents before what is mounted on them.
pub(super) fn mounted() -> io::Result<Vec<Mounted>> {
    // Before the new root has a `/proc`, the host's tells the same.
    let table = ["/proc/self/mountinfo".into(), below_old_root(Path::new("/proc/self/mountinfo"))]
        .iter()
        .find_map(|table: &PathBuf| fs_err::read(table).ok())
        .ok_or_else(|| io::Error::other("there is no /proc that lists what is mounted"))?;
    Ok(table.split(|byte| *byte == b'\n').filter_map(Mounted::parse).collect())
}

impl Mounted {
    /// See proc_pid_mountinfo(5): after six fields some that are optional, and after `-` three more.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let id = text(fields.next()?).parse().ok()?;
        let parent = text(fields.next()?).parse().ok()?;
        let device = text(fields.next()?);
        let part = PathBuf::from(unescape(fields.next()?));
        let path = PathBuf::from(unescape(fields.next()?));
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
        let flags = flags.collect();
        let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
        let kind = rest.next().map(text).unwrap_or_default();
        let source = rest.next().map(unescape).unwrap_or_default();
        Some(Self { id, parent, device, part, path, flags, kind, source })
    }
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field).into_owned()
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
    fn a_mount_is_read_with_its_flags_and_its_file_system() {
        let line =
            br"28 27 0:25 /a /mnt/with\040space\134 ro,nosuid,nodev,relatime shared:1 - tmpfs no\040ne rw,size=4k";
        let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::RELATIME;
        let expected = Mounted {
            id: 28,
            parent: 27,
            device: "0:25".into(),
            part: "/a".into(),
            path: r"/mnt/with space\".into(),
            flags,
            kind: "tmpfs".into(),
            source: "no ne".into(),
        };
        assert_eq!(Mounted::parse(line), Some(expected));
    }

    #[test]
    fn the_table_of_this_process_can_be_read() {
        let root = mounted().unwrap().into_iter().find(|mounted| mounted.path == Path::new("/")).unwrap();
        assert!(!root.kind.is_empty() && root.device.contains(':'), "{root:?}");
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
            let _ = Mounted::parse(&line);
        }
    }
}
