//! A root file system in which the steps for a target run, on this machine. Knows nothing of how it is made, nor of
//! what makes programs of another architecture run.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::contract::{Failure, FailureClass};
use crate::platform::{SYSTEM_PATH, Target};
use crate::rootfs::{MARKER, RootfsPlatform};

/// Files that change with what is installed: where package systems keep their lists, what says which system it is, and
/// what `crosswheel rootfs create` leaves, as images may have the same times, and lists of no length, whatever they hold.
const INSTALLED: [&str; 7] = [
    MARKER,
    "etc/os-release",
    "usr/lib/os-release",
    "var/lib/dpkg/status",
    "lib/apk/db/installed",
    "var/lib/rpm/rpmdb.sqlite",
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
];

/// Where a Python may be that no package system knows of.
const PROGRAM_DIRECTORIES: [&str; 2] = ["usr/local/bin", "usr/bin"];

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// A root file system of a target's platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRoot {
    /// Absolute, and without links.
    pub directory: PathBuf,
    /// Changes when other programs are installed in it, or when it is another one.
    pub stamp: String,
    /// The compiler of this machine that the executor gives to builds in it, as the executor is told; its own if
    /// `None`.
    pub cross_compiler: Option<String>,
}

impl TargetRoot {
    /// The root file system that the user named for `target`.
    pub fn given(directory: &Path, target: Target) -> Result<Self, Failure> {
        Self::open(directory, target, |message| {
            Failure::new(FailureClass::InvalidSource, format!("--rootfs {target}: {message}"))
        })
    }

    /// The root file system where `crosswheel rootfs create` puts one for `target`.
    pub fn usual(cache: &Path, target: Target) -> Result<Self, Failure> {
        let directory = cache.join("rootfs").join(target.to_string());
        Self::open(&directory, target, |message| {
            let message = format!("there is nothing here that builds for {target}: {message}");
            Failure::new(FailureClass::ExecutionFailed, message)
        })
    }

    /// Whether `path`, as seen in it, is there.
    pub fn has(&self, path: &Path) -> bool {
        let inside = path.strip_prefix("/").unwrap_or(path);
        // Where a link leads is another matter in there.
        fs_err::symlink_metadata(self.directory.join(inside)).is_ok()
    }

    /// Changes when `program`, a path or a command in it, becomes another one, wherever on the way there.
    pub fn stamp_of(&self, program: &str) -> String {
        let mut stamp = Stamp { root: &self.directory, text: String::new() };
        if program.contains('/') {
            stamp.add(Path::new(program));
        } else {
            for directory in SYSTEM_PATH.split(':') {
                stamp.add(&Path::new(directory).join(program));
            }
        }
        stamp.text
    }

    fn open(directory: &Path, target: Target, refuse: impl Fn(String) -> Failure) -> Result<Self, Failure> {
        let shown = directory.display();
        let arch = target.arch.property();
        let create = format!("make one with `crosswheel rootfs create --arch {arch} {shown}`");
        let Ok(found) = fs_err::canonicalize(directory) else {
            return Err(refuse(format!("there is no root file system at {shown}")).with_hint(create));
        };
        let platform = RootfsPlatform::of(&found, &[])
            .map_err(|error| refuse(format!("the root file system at {shown} cannot be read: {error}")))?;
        match platform.arch {
            Some(found) if found == target.arch => {}
            Some(other) => {
                let other = Target { arch: other };
                return Err(refuse(format!("the root file system at {shown} is one of {other}"))
                    .with_hint(format!("name one of {target} with --rootfs {target}=DIR")));
            }
            None => {
                return Err(refuse(format!("no program in {shown} shows that it is one of {target}"))
                    .with_hint(create));
            }
        }
        if found == Path::new("/") {
            return Err(
                refuse("/ is what builds without one see anyway".into()).with_hint("leave out --rootfs")
            );
        }
        Ok(Self { stamp: stamp(&found), directory: found, cross_compiler: None })
    }
}

fn stamp(root: &Path) -> String {
    let mut stamp = Stamp { root, text: root.display().to_string() };
    INSTALLED.iter().for_each(|path| stamp.add(Path::new(path)));
    for directory in PROGRAM_DIRECTORIES {
        let entries = fs_err::read_dir(root.join(directory)).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.retain(|name| name.to_string_lossy().starts_with("python"));
        names.sort();
        names.iter().for_each(|name| stamp.add(&Path::new(directory).join(name)));
    }
    stamp.text
}

/// What is known of files in a root file system without reading them.
struct Stamp<'a> {
    root: &'a Path,
    text: String,
}

impl Stamp<'_> {
    /// Adds the file that `path`, as seen in the root, leads to, and every link on the way there.
    fn add(&mut self, path: &Path) {
        let mut way = reversed(path);
        let mut place = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = way.pop() {
            if name == OsStr::new("..") {
                place.pop();
                continue;
            }
            let next = place.join(&name);
            let on_host = self.root.join(next.strip_prefix("/").unwrap_or(&next));
            let Ok(metadata) = fs_err::symlink_metadata(&on_host) else { return };
            if metadata.is_dir() {
                place = next;
                continue;
            }
            // The time of the change tells files apart that were unpacked with times of an archive.
            let modified = format!("{}.{}", metadata.mtime(), metadata.mtime_nsec());
            let changed = format!("{}.{}", metadata.ctime(), metadata.ctime_nsec());
            // Writing to a text does not fail.
            let _ = write!(self.text, "\n{} {} {modified} {changed}", next.display(), metadata.len());
            let Ok(target) = fs_err::read_link(&on_host) else { return };
            links += 1;
            if links > MOST_LINKS {
                return;
            }
            if target.is_absolute() {
                place = PathBuf::from("/");
            }
            way.extend(reversed(&target));
        }
    }
}

/// The names in a path, the last one first.
fn reversed(path: &Path) -> Vec<OsString> {
    let name = |component: Component| match component {
        Component::Normal(_) | Component::ParentDir => Some(component.as_os_str().to_owned()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    };
    path.components().rev().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Arch;

    fn target(arch: Arch) -> Target {
        Target { arch }
    }

    /// A root file system with a shell of `arch`, as far as can be told from its header.
    fn root(arch: Arch) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let mut header = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
        header.extend_from_slice(&arch.elf_machine().to_le_bytes());
        fs_err::create_dir_all(root.path().join("bin")).unwrap();
        fs_err::write(root.path().join("bin/sh"), header).unwrap();
        root
    }

    #[test]
    fn a_root_of_another_platform_or_of_none_is_refused() {
        let (amd64, arm64) = (target(Arch::Amd64), target(Arch::Arm64));
        let root = root(Arch::Arm64);
        TargetRoot::given(root.path(), arm64).unwrap();
        let failure = TargetRoot::given(root.path(), amd64).unwrap_err();
        assert_eq!(failure.class, FailureClass::InvalidSource);
        assert!(failure.message.ends_with("is one of linux_arm64"), "{failure}");
        let empty = tempfile::tempdir().unwrap();
        let failure = TargetRoot::given(empty.path(), arm64).unwrap_err();
        assert!(failure.message.contains("no program"), "{failure}");
    }

    #[test]
    fn a_root_that_is_not_there_can_be_made() {
        let cache = tempfile::tempdir().unwrap();
        let failure = TargetRoot::usual(cache.path(), target(Arch::Arm64)).unwrap_err();
        assert_eq!(failure.class, FailureClass::ExecutionFailed);
        let place = cache.path().join("rootfs/linux_arm64");
        assert!(failure.message.contains(&format!("no root file system at {}", place.display())));
        let hint = failure.hint.unwrap();
        assert!(
            hint.contains(&format!("crosswheel rootfs create --arch arm64 {}", place.display())),
            "{hint}"
        );
    }

    #[test]
    fn what_is_installed_later_changes_the_stamp() {
        let root = root(Arch::Arm64);
        let stamp = || TargetRoot::given(root.path(), target(Arch::Arm64)).unwrap().stamp;
        let bare = stamp();
        assert_eq!(stamp(), bare);
        fs_err::create_dir_all(root.path().join("usr/bin")).unwrap();
        fs_err::write(root.path().join("usr/bin/python3.11"), "").unwrap();
        let with_python = stamp();
        assert_ne!(with_python, bare);
        fs_err::create_dir_all(root.path().join("var/lib/dpkg")).unwrap();
        fs_err::write(root.path().join("var/lib/dpkg/status"), "Package: gcc\n").unwrap();
        let with_gcc = stamp();
        assert_ne!(with_gcc, with_python);
        fs_err::write(root.path().join(MARKER), "{}").unwrap();
        assert_ne!(stamp(), with_gcc);
    }

    #[test]
    fn a_program_that_becomes_another_changes_its_stamp_wherever_on_the_way() {
        let root = root(Arch::Arm64);
        let at = |path: &str| root.path().join(path);
        let link = |target: &str, path: &str| {
            let _ = fs_err::remove_file(at(path));
            std::os::unix::fs::symlink(target, at(path)).unwrap();
        };
        for (directory, size) in [("opt/3.10/bin", 1), ("opt/3.11/bin", 2), ("usr/bin", 3), ("etc", 4)] {
            fs_err::create_dir_all(at(directory)).unwrap();
            fs_err::write(at(directory).join("python"), vec![b'x'; size]).unwrap();
        }
        link("3.10", "opt/current");
        // Absolute, as seen in the root; and in more than one step.
        link("/opt/current/bin/python", "etc/alternative");
        link("../../etc/alternative", "usr/bin/python3");
        let stamp = |program: &str| {
            let root = TargetRoot::given(root.path(), target(Arch::Arm64)).unwrap();
            (root.stamp_of(program), root.stamp)
        };
        let programs = ["python3", "/usr/bin/python3", "/opt/current/bin/python"];
        let before = programs.map(stamp);
        assert_eq!(programs.map(stamp), before);
        assert!(before[0].0.contains("/opt/3.10/bin/python"), "{:?}", before[0]);
        link("3.11", "opt/current");
        for (program, before) in programs.iter().zip(before) {
            let after = stamp(program);
            assert!(after.0 != before.0 && after.1 != before.1, "{program}");
        }
        // Of a program that has not changed, what other links lead to says nothing.
        assert_eq!(stamp("python").0, stamp("/usr/bin/python").0);
        // A circle ends.
        link("python3", "usr/bin/python3");
        stamp("python3");
        assert_eq!(stamp("no-such-program").0, "");
    }
}
