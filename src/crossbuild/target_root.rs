//! A root file system in which the steps for a target run, on this machine. Knows nothing of how it is made, nor of
//! what makes programs of another architecture run.

use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::failure::{BuildFailure, BuildFailureClass};
use crate::platform::Target;
use crate::rootfs::Offer;

/// Files that change with what is installed: where package systems keep their lists, and what says which system
/// it is.
const INSTALLED: [&str; 6] = [
    "etc/os-release",
    "usr/lib/os-release",
    "var/lib/dpkg/status",
    "lib/apk/db/installed",
    "var/lib/rpm/rpmdb.sqlite",
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
];

/// Where a Python may be that no package system knows of.
const PROGRAM_DIRECTORIES: [&str; 2] = ["usr/local/bin", "usr/bin"];

/// A root file system of a target's platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRoot {
    /// Absolute, and without links.
    pub directory: PathBuf,
    /// Changes when other programs are installed in it, or when it is another one.
    pub stamp: String,
    /// The compiler of this machine that the executor gives to builds in it, as the user named it; its own if
    /// `None`.
    pub cross_compiler: Option<String>,
}

impl TargetRoot {
    /// The root file system that the user named for `target`.
    pub fn given(directory: &Path, target: Target) -> Result<Self, BuildFailure> {
        Self::open(directory, target, |message| {
            BuildFailure::new(BuildFailureClass::InvalidSource, format!("--rootfs {target}: {message}"))
        })
    }

    /// The root file system where `crosswheel rootfs create` puts one for `target`.
    pub fn usual(cache: &Path, target: Target) -> Result<Self, BuildFailure> {
        let directory = cache.join("rootfs").join(target.to_string());
        Self::open(&directory, target, |message| {
            let message = format!("there is nothing here that builds for {target}: {message}");
            BuildFailure::new(BuildFailureClass::ExecutionFailed, message)
        })
    }

    /// Whether `path`, as seen in it, is there.
    pub fn has(&self, path: &Path) -> bool {
        let inside = path.strip_prefix("/").unwrap_or(path);
        // Where a link leads is another matter in there.
        fs_err::symlink_metadata(self.directory.join(inside)).is_ok()
    }

    fn open(
        directory: &Path,
        target: Target,
        refuse: impl Fn(String) -> BuildFailure,
    ) -> Result<Self, BuildFailure> {
        let shown = directory.display();
        let arch = target.arch.property();
        let create = format!("make one with `crosswheel rootfs create --arch {arch} {shown}`");
        let Ok(found) = fs_err::canonicalize(directory) else {
            return Err(refuse(format!("there is no root file system at {shown}")).with_hint(create));
        };
        let offer = Offer::of(&found, &[])
            .map_err(|error| refuse(format!("the root file system at {shown} cannot be read: {error}")))?;
        match offer.arch {
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
    let mut text = root.display().to_string();
    let mut add = |path: &Path| {
        if let Ok(metadata) = fs_err::symlink_metadata(path) {
            let changed = format!("{}.{}", metadata.mtime(), metadata.mtime_nsec());
            // Writing to a text does not fail.
            let _ = write!(text, "\n{} {} {changed}", path.display(), metadata.len());
        }
    };
    INSTALLED.iter().for_each(|path| add(&root.join(path)));
    for directory in PROGRAM_DIRECTORIES {
        let entries = fs_err::read_dir(root.join(directory)).into_iter().flatten().flatten();
        let is_python = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("python");
        let mut pythons: Vec<PathBuf> =
            entries.filter(|entry| is_python(&entry.file_name())).map(|entry| entry.path()).collect();
        pythons.sort();
        pythons.iter().for_each(|path| add(path));
    }
    text
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
        assert_eq!(failure.class, BuildFailureClass::InvalidSource);
        assert!(failure.message.ends_with("is one of linux_arm64"), "{failure}");
        let empty = tempfile::tempdir().unwrap();
        let failure = TargetRoot::given(empty.path(), arm64).unwrap_err();
        assert!(failure.message.contains("no program"), "{failure}");
    }

    #[test]
    fn a_root_that_is_not_there_can_be_made() {
        let cache = tempfile::tempdir().unwrap();
        let failure = TargetRoot::usual(cache.path(), target(Arch::Arm64)).unwrap_err();
        assert_eq!(failure.class, BuildFailureClass::ExecutionFailed);
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
        assert_ne!(stamp(), with_python);
    }
}
