//! What to run and what it may see. Knows nothing of how that is enforced.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::error::SandboxError;
use super::limits::ResourceLimits;
use crate::emulation::Emulator;

/// Directories of which a command gets its own, empty ones: what others keep there is not for it, and sockets
/// of services lie there, which a read-only mount does not protect.
pub(super) const PRIVATE_DIRECTORIES: [&str; 3] = ["/tmp", "/var/tmp", "/run"];

/// Most overlays of a command: a descriptor of each goes into one message.
pub(super) const MOST_OVERLAYS: usize = 64;

/// A command and everything it may see and touch.
#[derive(Debug)]
pub struct Spec {
    /// The command. A name without `/` is looked up in `PATH` of `env` (and nowhere if there is none); a
    /// relative path is relative to `working_directory`.
    pub argv: Vec<OsString>,
    /// The environment: exactly this, nothing is inherited.
    pub env: BTreeMap<OsString, OsString>,
    /// Absolute, as the command sees it.
    pub working_directory: PathBuf,
    /// What the command sees as `/`, always read-only. Without namespaces only [`RootFileSystem::Host`] is
    /// possible.
    pub root: RootFileSystem,
    /// Mounted in this order, after the root and before `binds`. Impossible without namespaces and where
    /// [`Isolation::overlays`](super::isolation::Isolation::overlays) is false.
    pub overlays: Vec<Overlay>,
    /// Mounted in this order, so that a later one may lie within an earlier one. Without namespaces only
    /// binds whose two paths are the same are possible, and `writable: false` is not enforced.
    pub binds: Vec<Bind>,
    /// Absolute host paths that must stay visible, read-only and where they are, even below the directories
    /// that are otherwise private (`/tmp`, `/var/tmp`, `/run`) or hidden. Symlinks below them are not followed: name
    /// their targets too.
    pub visible_host_paths: Vec<PathBuf>,
    /// What the command reads; `/dev/null` if `None`.
    pub stdin: Option<OwnedFd>,
    /// Where the command writes, usually a pipe. Somebody has to read it while the command runs: one that
    /// fills a pipe nobody reads waits for ever.
    pub stdout: OwnedFd,
    /// Where the command writes its errors; `stdout` if `None`.
    pub stderr: Option<OwnedFd>,
    /// Whether the command may use the host's network.
    pub network: bool,
    /// How much of this machine the command and all its descendants may take.
    pub limits: ResourceLimits,
}

/// What a command sees as `/`. Whichever it is, `/tmp`, `/var/tmp`, `/run`, `/dev` and `/proc` are the
/// command's own, and all else is read-only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RootFileSystem {
    /// Everything the host has.
    Host,
    /// Only these directories (or files) of the host, and those links at the top of the host's file system
    /// that lead into them, as `/bin` leads to `usr/bin`.
    HostDirectories(Vec<PathBuf>),
    /// What lies below this directory of the host, for this architecture or one whose programs the kernel runs.
    /// Places at its top at which something is to be mounted need not exist, those further below must.
    Directory(PathBuf),
    /// As [`RootFileSystem::Directory`], for an architecture whose programs this emulator runs: commands get a
    /// binfmt_misc of their own (Linux 6.7) with that alone in it. They do not see it, and cannot change it.
    Emulated {
        /// Of the host.
        directory: PathBuf,
        /// Of the host, too; it need not be in the directory.
        emulator: Emulator,
    },
}

impl RootFileSystem {
    /// The one directory that a command sees as its root; none if that is the host's, or parts of it.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Host | Self::HostDirectories(_) => None,
            Self::Directory(directory) | Self::Emulated { directory, .. } => Some(directory),
        }
    }

    /// Refuses what no command could have as its root, as far as its paths say so.
    ///
    /// # Errors
    /// [`SandboxError::InvalidPath`]
    pub fn check(&self) -> Result<(), SandboxError> {
        let directories = match self {
            Self::Host => return Ok(()),
            Self::HostDirectories(directories) => directories.as_slice(),
            Self::Directory(directory) | Self::Emulated { directory, .. } => std::slice::from_ref(directory),
        };
        if let Some(emulator) = self.emulator() {
            check_path("emulator", &emulator.program)?;
        }
        for directory in directories {
            check_path("root file system", directory)?;
            if directory == Path::new("/") {
                return Err(SandboxError::InvalidPath {
                    role: "root file system",
                    path: directory.clone(),
                    problem: "is the host's whole root, which is a kind of its own",
                });
            }
            let hidden = PRIVATE_DIRECTORIES.into_iter().chain(["/proc", "/dev"]);
            if self.directory().is_none() && hidden.into_iter().any(|hidden| directory.starts_with(hidden)) {
                return Err(SandboxError::InvalidPath {
                    role: "host directory of a root file system",
                    path: directory.clone(),
                    problem: "lies where the command gets a directory of its own; make it a visible host path",
                });
            }
        }
        Ok(())
    }

    pub(super) fn emulator(&self) -> Option<&Emulator> {
        match self {
            Self::Emulated { emulator, .. } => Some(emulator),
            Self::Host | Self::HostDirectories(_) | Self::Directory(_) => None,
        }
    }
}

/// A tree that a command may change without a change to what it is made of: an overlayfs. A rename of a
/// directory that comes from a lower tree is refused with EXDEV, as by a move to another file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// Host directories that are seen merged, the topmost first. At least one; nobody may change them
    /// meanwhile.
    pub lower: Vec<PathBuf>,
    /// The host directory that takes what the command creates and changes: an empty one, on a file system
    /// that knows extended attributes and is no overlayfs itself.
    pub upper: PathBuf,
    /// An empty host directory for the kernel's use, on the same mount as `upper`. Left in it is a directory
    /// of mode 000, which who is not root has to change before it can be removed.
    pub work: PathBuf,
    /// Absolute path for the command; created if it is not below a directory of the root.
    pub inside: PathBuf,
}

/// A file or directory of the host and the place where the command sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// The file or directory, which must exist.
    pub host: PathBuf,
    /// Absolute path for the command; created if it is not below a directory of the host.
    pub inside: PathBuf,
    pub writable: bool,
}

impl Spec {
    /// Refuses what no sandbox could run, before anything is started.
    pub(super) fn check(&self, namespaces: bool) -> Result<(), SandboxError> {
        let program = self.argv.first().ok_or(SandboxError::EmptyCommand)?;
        if program.is_empty() {
            return Err(SandboxError::EmptyCommand);
        }
        self.check_strings()?;
        check_path("working directory", &self.working_directory)?;
        for path in &self.visible_host_paths {
            check_path("visible host path", path)?;
        }
        self.check_root(namespaces)?;
        let (count, most) = (self.overlays.len(), MOST_OVERLAYS);
        if count > most {
            return Err(SandboxError::TooManyOverlays { count, most });
        }
        for overlay in &self.overlays {
            self.check_overlay(overlay, namespaces)?;
        }
        for bind in &self.binds {
            check_path("host side of a bind", &bind.host)?;
            check_inner_path("inner side of a bind", &bind.inside)?;
            if !namespaces && bind.host != bind.inside {
                return Err(SandboxError::NoFixedPath {
                    host: bind.host.clone(),
                    inside: bind.inside.clone(),
                });
            }
        }
        Ok(())
    }

    fn check_root(&self, namespaces: bool) -> Result<(), SandboxError> {
        if self.root != RootFileSystem::Host && !namespaces {
            return Err(SandboxError::NoNamespaces { doing: "show a root other than the host's" });
        }
        self.root.check()
    }

    fn check_overlay(&self, overlay: &Overlay, namespaces: bool) -> Result<(), SandboxError> {
        if !namespaces {
            return Err(SandboxError::NoNamespaces { doing: "mount an overlay" });
        }
        if overlay.lower.is_empty() {
            return Err(SandboxError::InvalidPath {
                role: "overlay",
                path: overlay.inside.clone(),
                problem: "has no lower directory",
            });
        }
        for lower in &overlay.lower {
            check_path("lower directory of an overlay", lower)?;
        }
        check_path("upper directory of an overlay", &overlay.upper)?;
        check_path("work directory of an overlay", &overlay.work)?;
        check_inner_path("inner side of an overlay", &overlay.inside)
    }

    fn check_strings(&self) -> Result<(), SandboxError> {
        let invalid = |what: &'static str, value: &OsString, problem: &'static str| {
            Err(SandboxError::InvalidString { what, value: value.clone(), problem })
        };
        for argument in &self.argv {
            if argument.as_bytes().contains(&0) {
                return invalid("argument", argument, "contains a NUL byte");
            }
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.as_bytes().contains(&b'=') {
                return invalid("environment variable name", name, "is empty or contains `=`");
            }
            if name.as_bytes().contains(&0) || value.as_bytes().contains(&0) {
                return invalid("environment variable", name, "contains a NUL byte");
            }
        }
        Ok(())
    }
}

fn check_inner_path(role: &'static str, path: &Path) -> Result<(), SandboxError> {
    check_path(role, path)?;
    if path == Path::new("/") {
        let problem = "would hide the whole file system";
        return Err(SandboxError::InvalidPath { role, path: path.to_owned(), problem });
    }
    Ok(())
}

/// Absolute, without `..` and without NUL: a path that means the same thing in both file systems.
fn check_path(role: &'static str, path: &Path) -> Result<(), SandboxError> {
    let problem = if !path.is_absolute() {
        "is not absolute"
    } else if path.components().any(|component| component == Component::ParentDir) {
        "contains `..`"
    } else if path.as_os_str().as_bytes().contains(&0) {
        "contains a NUL byte"
    } else {
        return Ok(());
    };
    Err(SandboxError::InvalidPath { role, path: path.to_owned(), problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        Spec {
            argv: vec!["true".into()],
            env: BTreeMap::new(),
            working_directory: "/".into(),
            root: RootFileSystem::Host,
            overlays: Vec::new(),
            binds: Vec::new(),
            visible_host_paths: Vec::new(),
            stdin: None,
            stdout: fs_err::File::options().write(true).open("/dev/null").unwrap().into_parts().0.into(),
            stderr: None,
            network: false,
            limits: ResourceLimits::default(),
        }
    }

    #[test]
    fn a_plain_command_is_accepted() {
        spec().check(true).unwrap();
        spec().check(false).unwrap();
    }

    #[test]
    fn commands_without_a_program_are_refused() {
        let empty = Spec { argv: vec![], ..spec() };
        assert!(matches!(empty.check(true), Err(SandboxError::EmptyCommand)));
        let blank = Spec { argv: vec!["".into()], ..spec() };
        assert!(matches!(blank.check(true), Err(SandboxError::EmptyCommand)));
    }

    #[test]
    fn strings_the_kernel_would_cut_short_are_refused() {
        let argument = Spec { argv: vec!["true".into(), "a\0b".into()], ..spec() };
        let name = Spec { env: BTreeMap::from([("A=B".into(), "".into())]), ..spec() };
        let value = Spec { env: BTreeMap::from([("A".into(), "\0".into())]), ..spec() };
        for refused in [argument, name, value] {
            assert!(matches!(refused.check(true), Err(SandboxError::InvalidString { .. })));
        }
    }

    #[test]
    fn paths_that_are_not_absolute_and_plain_are_refused() {
        for path in ["work", "", "/work/../etc", "/a\0b"] {
            let refused = Spec { working_directory: path.into(), ..spec() };
            assert!(matches!(refused.check(true), Err(SandboxError::InvalidPath { .. })), "{path:?}");
        }
    }

    #[test]
    fn a_fixed_path_needs_namespaces() {
        let bind = Bind { host: "/var/work".into(), inside: "/crosswheel".into(), writable: true };
        let moved = Spec { binds: vec![bind], ..spec() };
        moved.check(true).unwrap();
        assert!(matches!(moved.check(false), Err(SandboxError::NoFixedPath { .. })));

        let bind = Bind { host: "/var/work".into(), inside: "/var/work".into(), writable: true };
        Spec { binds: vec![bind], ..spec() }.check(false).unwrap();
    }

    #[test]
    fn other_roots_and_overlays_need_namespaces() {
        let root = Spec { root: RootFileSystem::Directory("/srv/root".into()), ..spec() };
        let overlay = Overlay {
            lower: vec!["/var/lower".into()],
            upper: "/var/upper".into(),
            work: "/var/work".into(),
            inside: "/crosswheel".into(),
        };
        let overlay = Spec { overlays: vec![overlay], ..spec() };
        for refused in [root, overlay] {
            refused.check(true).unwrap();
            assert!(matches!(refused.check(false), Err(SandboxError::NoNamespaces { .. })));
        }
    }

    #[test]
    fn a_root_of_host_directories_has_none_that_would_be_hidden() {
        let with = |path: &str| Spec { root: RootFileSystem::HostDirectories(vec![path.into()]), ..spec() };
        with("/usr").check(true).unwrap();
        for hidden in ["/", "/tmp/tools", "/run", "/proc", "/dev/shm/x", "usr"] {
            assert!(matches!(with(hidden).check(true), Err(SandboxError::InvalidPath { .. })), "{hidden}");
        }
        Spec { root: RootFileSystem::Directory("/tmp/root".into()), ..spec() }.check(true).unwrap();
    }

    #[test]
    fn more_overlays_than_descriptors_fit_into_a_message_are_refused() {
        let overlay = Overlay {
            lower: vec!["/var/lower".into()],
            upper: "/var/upper".into(),
            work: "/var/work".into(),
            inside: "/crosswheel".into(),
        };
        let many = |count| Spec { overlays: vec![overlay.clone(); count], ..spec() };
        many(MOST_OVERLAYS).check(true).unwrap();
        let error = many(MOST_OVERLAYS + 1).check(true).unwrap_err();
        assert!(matches!(error, SandboxError::TooManyOverlays { .. }), "{error}");
    }

    #[test]
    fn an_overlay_of_nothing_is_refused() {
        let overlay = Overlay {
            lower: vec![],
            upper: "/var/upper".into(),
            work: "/var/work".into(),
            inside: "/crosswheel".into(),
        };
        let empty = Spec { overlays: vec![overlay], ..spec() };
        assert!(matches!(empty.check(true), Err(SandboxError::InvalidPath { .. })));
    }

    #[test]
    fn the_root_cannot_be_replaced_by_a_bind() {
        let bind = Bind { host: "/var/work".into(), inside: "/".into(), writable: true };
        let root = Spec { binds: vec![bind], ..spec() };
        assert!(matches!(root.check(true), Err(SandboxError::InvalidPath { .. })));
    }
}
