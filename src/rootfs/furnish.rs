//! What a root file system needs besides unpacked packages: places for what the sandbox mounts, and the few files and
//! links that scripts of packages would have made, had anything been run. Adds, and never replaces. Knows nothing of
//! where the root comes from.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, openat, statat, symlinkat};
use rustix::io::Errno;

use super::inside::{Inside, set_mode};
use super::platform::RootfsPlatform;
use crate::platform::Arch;

/// Directories, and their modes.
const DIRECTORIES: [(&str, u32); 13] = [
    ("proc", 0o755),
    ("dev", 0o755),
    ("sys", 0o755),
    ("run", 0o755),
    ("tmp", 0o1777),
    ("var/tmp", 0o1777),
    ("opt", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("usr/bin", 0o755),
    ("usr/sbin", 0o755),
    ("usr/lib", 0o755),
    ("usr/local/bin", 0o755),
];

/// Links at the top of a merged `/usr`, where there is nothing else.
const LINKS: [(&str, &str); 3] = [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib")];

/// Files, where there are none. The sandbox mounts the host's resolv.conf over that one for actions with a network.
const FILES: [(&str, &str); 4] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("etc/resolv.conf", ""),
];

/// Links in `/usr/bin` that Debian's packages make when they are installed, with what they lead to, the best first.
const ALTERNATIVES: [(&str, &[&str]); 8] = [
    ("cc", &["gcc", "clang"]),
    ("c++", &["g++", "clang++"]),
    ("c99", &["c99-gcc"]),
    ("c89", &["c89-gcc"]),
    ("awk", &["mawk", "gawk"]),
    ("which", &["which.debianutils"]),
    ("sh", &["dash", "bash", "busybox"]),
    ("pkg-config", &["pkgconf"]),
];

/// Adds what is missing to the root file system `inside`.
pub(super) fn furnish(inside: &Inside) -> io::Result<()> {
    for (path, mode) in DIRECTORIES {
        if !inside.has_name(Path::new(path)) {
            inside.make_directories(Path::new(path))?;
            let (parent, name) = (inside.directory(parent_of(path))?, name_of(path));
            set_mode(parent.as_fd(), name, mode)?;
        }
    }
    let top = inside.directory(Path::new(""))?;
    for (name, target) in LINKS {
        link(target, &top, name)?;
    }
    // Where the host's libraries can be mounted for its cross compiler.
    let libraries = format!("usr/lib/{}-linux-gnu", Arch::host().machine());
    if !inside.has_name(Path::new(&libraries)) {
        inside.make_directories(Path::new(&libraries))?;
    }
    for (path, text) in FILES {
        if !inside.has_name(Path::new(path)) {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let parent = inside.directory(parent_of(path))?;
            let mut file =
                std::fs::File::from(openat(&parent, name_of(path), flags, Mode::from_raw_mode(0o644))?);
            file.write_all(text.as_bytes())?;
            set_mode(parent.as_fd(), name_of(path), 0o644)?;
        }
    }
    let programs = inside.directory(Path::new("usr/bin"))?;
    for (name, candidates) in ALTERNATIVES {
        let there = |candidate: &&&str| inside.has_file(&Path::new("usr/bin").join(candidate));
        // In `/bin`, if that is another directory.
        let elsewhere = inside.has_name(&Path::new("bin").join(name));
        if !elsewhere && let Some(candidate) = candidates.iter().find(there) {
            link(candidate, &programs, name)?;
        }
    }
    link_python(inside, &programs)?;
    Ok(())
}

/// `python3`, if there is one Python it can mean.
fn link_python(inside: &Inside, programs: &impl AsFd) -> io::Result<()> {
    let is_there = |minor: &u8| inside.has_file(Path::new(&format!("usr/bin/python3.{minor}")));
    let minors: Vec<u8> = (0..=RootfsPlatform::LATEST_PYTHON_MINOR).filter(is_there).collect();
    match minors[..] {
        [minor] => Ok(link(&format!("python3.{minor}"), programs, "python3")?),
        _ => Ok(()),
    }
}

fn link(target: &str, directory: &impl AsFd, name: &str) -> Result<(), Errno> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => symlinkat(target, directory, name),
        other => other.map(drop),
    }
}

fn parent_of(path: &str) -> &Path {
    Path::new(path).parent().unwrap_or(Path::new(""))
}

fn name_of(path: &str) -> &Path {
    Path::new(path.rsplit('/').next().unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_packages_would_have_made_is_there_and_what_they_made_stays() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs_err::create_dir_all(at("usr/bin")).unwrap();
        fs_err::create_dir_all(at("etc")).unwrap();
        for program in ["python3.11", "gcc", "clang", "dash", "mawk", "g++"] {
            fs_err::write(at("usr/bin").join(program), "").unwrap();
        }
        symlink("gawk", at("usr/bin/awk")).unwrap();
        fs_err::write(at("etc/passwd"), "own\n").unwrap();
        for _ in 0..2 {
            furnish(&Inside::open(root.path()).unwrap()).unwrap();
        }
        let link = |name: &str| fs_err::read_link(at("usr/bin").join(name)).unwrap().display().to_string();
        assert_eq!(
            ["cc", "c++", "sh", "python3", "awk"].map(link),
            ["gcc", "g++", "dash", "python3.11", "gawk"]
        );
        assert!(fs_err::symlink_metadata(at("usr/bin/which")).is_err());
        assert_eq!(fs_err::read_to_string(at("etc/passwd")).unwrap(), "own\n");
        assert!(fs_err::read_to_string(at("etc/group")).unwrap().starts_with("root:x:0:"));
        let mode = |path: &str| fs_err::metadata(at(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(["tmp", "var/tmp", "run", "etc/group"].map(mode), [0o1777, 0o1777, 0o755, 0o644]);
        assert_eq!(fs_err::read_link(at("bin")).unwrap(), Path::new("usr/bin"));
        assert!(at(&format!("usr/lib/{}-linux-gnu", Arch::host().machine())).is_dir());
    }

    /// An image may have anything in these places.
    #[test]
    fn links_that_lead_out_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let outside = directory.path().join("outside");
        fs_err::create_dir(&outside).unwrap();
        let root = directory.path().join("root");
        fs_err::create_dir(&root).unwrap();
        symlink(&outside, root.join("etc")).unwrap();
        symlink("../../outside", root.join("var")).unwrap();
        let _ = furnish(&Inside::open(&root).unwrap());
        assert_eq!(fs_err::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn of_two_pythons_none_is_the_one() {
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(root.path().join("usr/bin")).unwrap();
        for program in ["python3.11", "python3.12"] {
            fs_err::write(root.path().join("usr/bin").join(program), "").unwrap();
        }
        furnish(&Inside::open(root.path()).unwrap()).unwrap();
        assert!(fs_err::symlink_metadata(root.path().join("usr/bin/python3")).is_err());
    }
}
