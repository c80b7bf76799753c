//! What no command may see, wherever it would. Knows nothing of why.

use std::path::{Path, PathBuf};

use super::host_mounts::HostMounts;
use super::mounts::{Access, Depth, mount_tmpfs, protect};
use crate::sandbox::message::Root;
use crate::sandbox::set_up::SetUpFailure;

/// Covers what of `hidden`, directories of the host without links, can be seen in the new root. Returns where.
pub(super) fn hide(
    hidden: &[PathBuf],
    base: &Root,
    mounts: &HostMounts,
) -> Result<Vec<PathBuf>, SetUpFailure> {
    let mut covered: Vec<PathBuf> = Vec::new();
    for name in hidden.iter().flat_map(|directory| mounts.names_of(directory)) {
        for place in places(&name, base) {
            let within_another = covered.iter().any(|above| place.starts_with(above));
            // Not of what lies where the command gets something of its own.
            if !within_another && place.symlink_metadata().is_ok_and(|found| found.is_dir()) {
                cover(&place)?;
                covered.push(place);
            }
        }
    }
    Ok(covered)
}

/// Covers `place` with an empty directory that nobody can write to.
pub(super) fn cover(place: &Path) -> Result<(), SetUpFailure> {
    mount_tmpfs(place, 0o555, 1)?;
    protect(place, Access::ReadOnly, Depth::ThisOnly)
}

/// Where in the new root the host's directory `name`, or a part of it, would be.
fn places(name: &Path, base: &Root) -> Vec<PathBuf> {
    match base {
        Root::Host => vec![name.to_owned()],
        Root::HostDirectories(mounts) => {
            let shown = mounts.iter().map(|mount| (mount.host.to_path(), mount.inside.to_path()));
            shown.filter_map(|(host, inside)| place_below(name, &host, &inside)).collect()
        }
        Root::Directory(root) => {
            let root = root.to_path();
            // A root file system that is part of what is hidden was put there to be seen.
            name.strip_prefix(&root).ok().map(|below| Path::new("/").join(below)).into_iter().collect()
        }
    }
}

fn place_below(name: &Path, host: &Path, inside: &Path) -> Option<PathBuf> {
    match name.strip_prefix(host) {
        Ok(below) if below == Path::new("") => Some(inside.to_owned()),
        Ok(below) => Some(inside.join(below)),
        Err(_) => host.starts_with(name).then(|| inside.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::message::Mount;

    #[test]
    fn what_is_hidden_is_found_in_every_kind_of_root() {
        let store = Path::new("/var/cache/store");
        assert_eq!(places(store, &Root::Host), [store]);
        assert_eq!(places(store, &Root::Directory("/var".into())), [Path::new("/cache/store")]);
        assert!(places(store, &Root::Directory("/var/cache/store/roots/a".into())).is_empty());
        let mount = |host: &str, inside: &str| Mount {
            host: host.into(),
            inside: inside.into(),
            directory: true,
            writable: false,
        };
        let mounts = vec![mount("/var", "/v"), mount("/usr", "/usr"), mount("/var/cache/store/cas", "/cas")];
        let expected = ["/v/cache/store", "/cas"].map(PathBuf::from);
        assert_eq!(places(store, &Root::HostDirectories(mounts)), expected);
    }
}
