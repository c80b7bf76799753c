//! What of the host is mounted where, by the host's names, while its root is below [`OLD_ROOT`]. Knows nothing of what a
//! command is to see.

use std::path::{Path, PathBuf};

use super::mount_table::{Mounted, mounted};
use super::old_root::OLD_ROOT;
use crate::sandbox::init::step::Step;
use crate::sandbox::set_up::{SetUpFailure, SetUpStep};

/// The mounts of the host, parents before what is mounted on them.
pub(super) struct HostMounts(Vec<Mounted>);

impl HostMounts {
    pub(super) fn read() -> Result<Self, SetUpFailure> {
        let all = mounted().step(SetUpStep::ListMounts)?;
        Ok(Self::of(all))
    }

    fn of(all: Vec<Mounted>) -> Self {
        let of_host = all.into_iter().filter_map(|mounted| {
            let path = Path::new("/").join(mounted.path.strip_prefix(OLD_ROOT).ok()?);
            Some(Mounted { path, ..mounted })
        });
        Self(of_host.collect())
    }

    /// The mount that `path` is in; its own, if something is mounted there.
    pub(super) fn at(&self, path: &Path) -> Option<&Mounted> {
        // Of two at the same place the later one is on top.
        self.0.iter().filter(|mounted| path.starts_with(&mounted.path)).reduce(|found, next| {
            if next.path.components().count() >= found.path.components().count() { next } else { found }
        })
    }

    /// Whether something is mounted below `path`, that place itself excluded. What a later mount covers does not count.
    pub(super) fn has_any_below(&self, path: &Path) -> bool {
        let Some(top) = self.at(path) else { return false };
        let below = |mounted: &&Mounted| mounted.path != path && mounted.path.starts_with(path);
        self.0.iter().filter(below).any(|mounted| self.is_on(mounted, top.id))
    }

    /// Whether `mounted` is mounted on the mount `id`, or on one that is.
    fn is_on(&self, mounted: &Mounted, id: u32) -> bool {
        let parent = |mounted: &&Mounted| self.0.iter().find(|other| other.id == mounted.parent);
        // The table may have been read while it changed, and lead in circles.
        let chain = std::iter::successors(Some(mounted), parent).take(self.0.len());
        chain.skip(1).any(|above| above.id == id)
    }

    /// Every path at which the host shows what lies at `path`, or a part of it: that one first, and those at which the
    /// same file system is mounted a second time. `path` is without links.
    pub(super) fn names_of(&self, path: &Path) -> Vec<PathBuf> {
        let mut names = vec![path.to_owned()];
        let Some(own) = self.at(path) else { return names };
        let Ok(below) = path.strip_prefix(&own.path) else { return names };
        let part = if below == Path::new("") { own.part.clone() } else { own.part.join(below) };
        for other in self.0.iter().filter(|other| other.device == own.device) {
            let name = match part.strip_prefix(&other.part) {
                Ok(below) if below == Path::new("") => other.path.clone(),
                Ok(below) => other.path.join(below),
                Err(_) if other.part.starts_with(&part) => other.path.clone(),
                Err(_) => continue,
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use rustix::mount::MountFlags;

    use super::*;

    fn mounts(of: &[(&str, &str, &str)]) -> HostMounts {
        // Each on the last that was mounted above it.
        let parent = |index: usize| {
            let above =
                of[..index].iter().rposition(|(_, _, above)| Path::new(of[index].2).starts_with(above));
            above.map_or(0, |above| above as u32 + 1)
        };
        let mounted = of.iter().enumerate().map(|(index, (device, part, path))| Mounted {
            id: index as u32 + 1,
            parent: parent(index),
            device: (*device).into(),
            part: part.into(),
            path: Path::new(OLD_ROOT).join(path.trim_start_matches('/')),
            flags: MountFlags::empty(),
            kind: "ext4".into(),
            source: "disk".into(),
        });
        HostMounts::of(mounted.collect())
    }

    #[test]
    fn a_path_is_in_the_last_of_the_deepest_mounts() {
        let mounts = mounts(&[("8:1", "/", "/"), ("8:2", "/", "/home"), ("8:3", "/", "/home")]);
        assert_eq!(mounts.at(Path::new("/home/x")).unwrap().device, "8:3");
        assert_eq!(mounts.at(Path::new("/homes")).unwrap().device, "8:1");
        assert!(mounts.has_any_below(Path::new("/")) && !mounts.has_any_below(Path::new("/home")));
    }

    #[test]
    fn what_a_later_mount_covers_is_not_there() {
        let before = [("8:1", "/", "/"), ("8:2", "/", "/mnt/inner")];
        assert!(mounts(&before).has_any_below(Path::new("/mnt")));
        let mut covered = before.to_vec();
        covered.push(("8:3", "/", "/mnt"));
        assert!(!mounts(&covered).has_any_below(Path::new("/mnt")));
        assert!(mounts(&covered).has_any_below(Path::new("/")));
        covered.push(("8:4", "/", "/mnt/other"));
        assert!(mounts(&covered).has_any_below(Path::new("/mnt")));
    }

    #[test]
    fn all_names_of_a_directory_are_found_whatever_part_of_its_file_system_is_mounted() {
        let mounts = mounts(&[
            ("8:1", "/", "/"),
            ("8:2", "/", "/data"),
            ("8:2", "/cache", "/srv/cache"),
            ("8:2", "/cache/store/blobs", "/mnt"),
            ("8:2", "/other", "/other"),
            ("8:3", "/", "/data/more"),
        ]);
        let names = mounts.names_of(Path::new("/data/cache/store"));
        let expected = ["/data/cache/store", "/srv/cache/store", "/mnt"].map(PathBuf::from);
        assert_eq!(names, expected);
        assert_eq!(mounts.names_of(Path::new("/data/more")), [Path::new("/data/more")]);
    }
}
