//! The platform that a root file system is, as far as its files prove it: architecture, C library, Pythons. Runs
//! nothing. Knows nothing of who wants to know.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use regex::bytes::Regex;
use rustix::fs::{Dir, OFlags};

use super::inside::Inside;
use crate::platform::{Arch, Glibc, Libc};

/// Programs of which every root has one.
const PROGRAMS: [&str; 4] = ["bin/sh", "usr/bin/env", "bin/busybox", "bin/bash"];

/// Where distributions have their C library.
const LIBRARIES: [&str; 6] = [
    "lib/x86_64-linux-gnu/libc.so.6",
    "lib/aarch64-linux-gnu/libc.so.6",
    "lib64/libc.so.6",
    "lib/libc.so.6",
    "usr/lib64/libc.so.6",
    "usr/lib/libc.so.6",
];

/// musl's loader is its library.
const MUSL: [&str; 2] = ["lib/ld-musl-x86_64.so.1", "lib/ld-musl-aarch64.so.1"];

/// Directories of programs that an action finds without saying so.
const PROGRAM_DIRECTORIES: [&str; 3] = ["usr/local/bin", "usr/bin", "bin"];

/// Most bytes read of a library; glibc has 2 MiB.
const MOST_LIBRARY_BYTES: u64 = 32 << 20;

/// What was found out about a root file system.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RootfsPlatform {
    pub arch: Option<Arch>,
    pub libc: Option<Libc>,
    /// Minor versions of Python 3, in order.
    pub python_minors: Vec<u8>,
}

impl RootfsPlatform {
    /// No Python 3 is as late as this.
    pub(super) const LATEST_PYTHON_MINOR: u8 = 99;

    /// Looks at the root file system `root`, of which actions see only what is below the absolute paths
    /// `visible`, or everything if there are none. Its symbolic links stay inside it.
    ///
    /// # Errors
    /// If `root` is no directory that can be read.
    pub fn of(root: &Path, visible: &[PathBuf]) -> std::io::Result<Self> {
        let root = View { root: Inside::open(root)?, visible };
        let arch = PROGRAMS.iter().find_map(|program| Arch::of_elf_header(&root.read(program, 64)?));
        let glibc = || LIBRARIES.iter().find_map(|path| glibc_in(&root.read(path, MOST_LIBRARY_BYTES)?));
        let musl = || MUSL.iter().any(|path| root.open(path, OFlags::PATH).is_some());
        let libc = glibc().map(Libc::Glibc).or_else(|| musl().then_some(Libc::Musl));
        let mut python_minors: Vec<u8> =
            PROGRAM_DIRECTORIES.iter().flat_map(|directory| root.python_minors(directory)).collect();
        python_minors.sort_unstable();
        python_minors.dedup();
        Ok(Self { arch, libc, python_minors })
    }

    /// As platform properties (REAPI `Platform.Property`).
    pub fn properties(&self) -> Vec<(String, String)> {
        let arch = self.arch.map(|arch| ("Arch", arch.property().to_owned()));
        let libc = self.libc.map(|libc| ("libc", libc.to_string()));
        let pythons = self.python_minors.iter().map(|minor| ("python", format!("3.{minor}")));
        let family = [("OSFamily", "Linux".to_owned())];
        let all = arch.into_iter().chain(family).chain(libc).chain(pythons);
        all.map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// A root file system as actions see it.
struct View<'a> {
    root: Inside,
    visible: &'a [PathBuf],
}

impl View<'_> {
    /// Opens a file as an action would find it: links are those of the root.
    fn open(&self, path: &str, flags: OFlags) -> Option<OwnedFd> {
        if self.hides(path) { None } else { self.root.at(Path::new(path), flags).ok() }
    }

    fn read(&self, path: &str, most: u64) -> Option<Vec<u8>> {
        if self.hides(path) { None } else { self.root.read(Path::new(path), most) }
    }

    fn hides(&self, path: &str) -> bool {
        let absolute = Path::new("/").join(path);
        !self.visible.is_empty() && !self.visible.iter().any(|directory| absolute.starts_with(directory))
    }

    fn python_minors(&self, directory: &str) -> Vec<u8> {
        let Some(entries) =
            self.open(directory, OFlags::RDONLY | OFlags::DIRECTORY).and_then(|fd| Dir::new(fd).ok())
        else {
            return Vec::new();
        };
        let minor = |name: &str| name.strip_prefix("python3.")?.parse::<u8>().ok();
        entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name().to_str().ok()?.to_owned();
                let minor = minor(&name)?;
                // A link may lead nowhere.
                self.open(&format!("{directory}/{name}"), OFlags::PATH)?;
                Some(minor)
            })
            .collect()
    }
}

/// The version in the greeting that glibc prints when it is run as a program.
fn glibc_in(library: &[u8]) -> Option<Glibc> {
    let greeting =
        Regex::new(r"GNU C Library [^\n]{0,100}release version (\d+\.\d+)").expect("it is a constant");
    let version = greeting.captures(library)?.get(1)?;
    std::str::from_utf8(version.as_bytes()).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// The first bytes of a program for AArch64.
    const ARM64_PROGRAM: [u8; 20] = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\xb7\0";

    fn root(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, contents) in files {
            let path = root.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, contents).unwrap();
        }
        root
    }

    #[test]
    fn a_root_file_system_says_what_it_is() {
        let greeting =
            b"\0GNU C Library (Debian GLIBC 2.36-9+deb12u9) stable release version 2.36.\nCopyright";
        let root = root(&[
            ("usr/bin/dash", &ARM64_PROGRAM),
            ("usr/lib/aarch64-linux-gnu/libc.so.6", greeting),
            ("usr/bin/python3.11", b""),
            ("usr/local/bin/python3.9", b""),
            ("usr/bin/python3.11-config", b""),
        ]);
        // Links as in a merged /usr; absolute ones are meant within the root.
        symlink("/usr/bin", root.path().join("bin")).unwrap();
        symlink("/usr/lib", root.path().join("lib")).unwrap();
        symlink("dash", root.path().join("usr/bin/sh")).unwrap();
        symlink("/nowhere", root.path().join("usr/bin/python3.12")).unwrap();
        let platform = RootfsPlatform::of(root.path(), &[]).unwrap();
        assert_eq!(
            platform.properties(),
            [
                ("Arch", "arm64"),
                ("OSFamily", "Linux"),
                ("libc", "glibc-2.36"),
                ("python", "3.9"),
                ("python", "3.11")
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn nothing_is_claimed_that_was_not_found() {
        let root = root(&[("bin/sh", b"#!/bin/false"), ("lib/ld-musl-x86_64.so.1", b"")]);
        let platform = RootfsPlatform::of(root.path(), &[]).unwrap();
        assert_eq!(
            platform,
            RootfsPlatform { arch: None, libc: Some(Libc::Musl), python_minors: Vec::new() }
        );
        assert!(RootfsPlatform::of(&root.path().join("missing"), &[]).is_err());
    }

    #[test]
    fn what_actions_do_not_see_is_not_offered() {
        let root = root(&[("usr/bin/python3.11", b""), ("usr/local/bin/python3.12", b"")]);
        let platform = RootfsPlatform::of(root.path(), &["/usr/local".into()]).unwrap();
        assert_eq!(platform.python_minors, [12]);
    }

    #[test]
    fn this_machine_has_the_architecture_we_run_on() {
        let platform = RootfsPlatform::of(Path::new("/"), &[]).unwrap();
        assert_eq!(platform.arch, Some(Arch::host()));
        assert!(platform.libc.is_some(), "{platform:?}");
    }
}
