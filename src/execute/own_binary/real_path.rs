//! Where a path of an action really leads, in the root file system that it sees. Knows nothing of what may lie there.

use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

use crate::sandbox::RootFileSystem;

/// `path` without links, as an action sees it whose root is `root`.
///
/// # Errors
/// If there is nothing at that path.
pub(super) fn real_path(root: &RootFileSystem, path: &Path) -> io::Result<PathBuf> {
    match root {
        RootFileSystem::Host | RootFileSystem::HostDirectories(_) => fs_err::canonicalize(path),
        RootFileSystem::Directory(directory) | RootFileSystem::Emulated { directory, .. } => {
            within(&fs_err::canonicalize(directory)?, path)
        }
    }
}

/// Links are followed as in a process whose root is `root`.
fn within(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let top = openat(CWD, root, flags | OFlags::DIRECTORY, Mode::empty())?;
    let relative = path.strip_prefix("/").unwrap_or(path);
    let relative = if relative == Path::new("") { Path::new(".") } else { relative };
    let found = openat2(top, relative, flags, Mode::empty(), ResolveFlags::IN_ROOT)?;
    let real = fs_err::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))?;
    let below = real.strip_prefix(root).map_err(io::Error::other)?;
    Ok(Path::new("/").join(below))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_as_the_action_follows_them() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        fs_err::create_dir_all(root.join("usr/bin")).unwrap();
        fs_err::write(root.join("usr/bin/python3.11"), "").unwrap();
        symlink("usr/bin", root.join("bin")).unwrap();
        symlink("/bin/python3.11", root.join("usr/bin/python3")).unwrap();
        symlink("../../../../etc", root.join("out")).unwrap();
        let root = RootFileSystem::Directory(root);
        let real = |path: &str| real_path(&root, Path::new(path));
        assert_eq!(real("/bin/python3").unwrap(), Path::new("/usr/bin/python3.11"));
        assert_eq!(real("/").unwrap(), Path::new("/"));
        assert!(real("/out").is_err() && real("/bin/absent").is_err());

        let link = directory.path().join("link");
        symlink("/usr", &link).unwrap();
        assert_eq!(real_path(&RootFileSystem::Host, &link).unwrap(), Path::new("/usr"));
    }
}
