//! Where steps that run here keep what they found out, of interpreters for example, which is true of one root file
//! system only. Knows nothing of what is kept.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::digest::Sha256;
use crate::rootfs::MARKER;
use crate::sandbox::RootFileSystem;

/// `cache` itself for what is true of this machine, and for anything else a directory in it.
///
/// # Errors
/// If the root cannot be looked at.
pub(crate) fn of_root(cache: &Path, root: &RootFileSystem) -> io::Result<PathBuf> {
    let identity = match root {
        RootFileSystem::Host => return Ok(cache.to_owned()),
        RootFileSystem::HostDirectories(directories) => format!("of this host: {directories:?}"),
        RootFileSystem::Directory(directory) | RootFileSystem::Emulated { directory, .. } => {
            identity(directory)?
        }
    };
    let name = Sha256::of(identity.as_bytes()).to_string();
    Ok(cache.join("roots").join(&name[..16]))
}

/// Another one in the same place has another. Device numbers may change when a machine restarts, and are left out.
fn identity(root: &Path) -> io::Result<String> {
    let real = fs_err::canonicalize(root)?;
    let directory = fs_err::metadata(&real)?;
    // Numbers of inodes are used again. Not all file systems know when one was made.
    let made = directory.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
    let marker = fs_err::symlink_metadata(real.join(MARKER)).ok();
    let marker = marker.map(|marker| (marker.ino(), marker.mtime(), marker.mtime_nsec()));
    Ok(format!("{real:?} {} {made:?} {marker:?}", directory.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn of(root: &Path) -> PathBuf {
        of_root(Path::new("/cache"), &RootFileSystem::Directory(root.to_owned())).unwrap()
    }

    #[test]
    fn another_root_under_the_same_path_has_a_place_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let (root, other) = (directory.path().join("root"), directory.path().join("other"));
        fs_err::create_dir(&root).unwrap();
        fs_err::create_dir(&other).unwrap();
        let first = of(&root);
        assert!(first.starts_with("/cache/roots"), "{first:?}");
        // What happens in it changes nothing.
        fs_err::create_dir(root.join("etc")).unwrap();
        assert_eq!(of(&root), first);
        symlink(&root, directory.path().join("link")).unwrap();
        assert_eq!(of(&directory.path().join("link")), first);
        assert_ne!(of(&other), first);

        fs_err::write(root.join(MARKER), "{}").unwrap();
        let made_by_us = of(&root);
        assert_ne!(made_by_us, first);
        fs_err::rename(&root, directory.path().join("old")).unwrap();
        fs_err::rename(&other, &root).unwrap();
        assert!(![first, made_by_us].contains(&of(&root)));
        let missing = RootFileSystem::Directory(other);
        assert!(of_root(Path::new("/cache"), &missing).is_err());
    }

    #[test]
    fn what_is_true_of_this_machine_is_kept_for_all() {
        let of = |root| of_root(Path::new("/cache"), &root).unwrap();
        assert_eq!(of(RootFileSystem::Host), Path::new("/cache"));
        let usr = of(RootFileSystem::HostDirectories(vec!["/usr".into()]));
        let more = of(RootFileSystem::HostDirectories(vec!["/usr".into(), "/opt".into()]));
        assert!(usr.starts_with("/cache/roots") && usr != more, "{usr:?} {more:?}");
    }
}
