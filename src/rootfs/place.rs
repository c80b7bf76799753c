//! Where a root file system is made: beside its place, and moved there when it is whole. A crash leaves a directory
//! beside it that the next attempt removes; what was not made by us is never removed. Knows nothing of its contents.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::error::RootfsError;
use super::marker::{MARKER, Marker, read_marker, write_marker};
use crate::scratch::home::{HomeError, LockedHome};
use crate::scratch::removal::remove;
use crate::scratch::staging::exchange;

/// A root in the making. Dropped before it is published, it is gone, and the one that it replaced after that.
#[derive(Debug)]
pub(super) struct Place {
    /// Where it goes.
    destination: PathBuf,
    /// A directory beside that; the root is in it.
    workshop: LockedHome,
}

/// The root that is being made.
const ROOT: &str = "root";

impl Place {
    /// Prepares to make `destination`, which must be absolute, and removes what an attempt before has left.
    pub(super) fn new(destination: &Path, force: bool) -> Result<Self, RootfsError> {
        // A link stays one, and what it leads to is replaced.
        let destination = fs_err::canonicalize(destination).unwrap_or_else(|_| destination.to_owned());
        check_free(&destination, force)?;
        let parent = destination.parent().unwrap_or(Path::new("/"));
        fs_err::create_dir_all(parent).map_err(RootfsError::io("make the directory", parent))?;
        let mut name = OsString::from(".");
        name.push(destination.file_name().unwrap_or_default());
        name.push(".crosswheel-partial");
        let workshop = workshop(&parent.join(name), &destination)?;
        let place = Self { destination, workshop };
        place.sweep().map_err(RootfsError::io("remove what was left in", place.workshop.path()))?;
        let root = place.root();
        let failed = RootfsError::io("make the directory", &root);
        fs_err::create_dir(&root)
            .and_then(|()| fs_err::set_permissions(&root, PermissionsExt::from_mode(0o755)))
            .map_err(failed)?;
        Ok(place)
    }

    /// The root in the making.
    pub(super) fn root(&self) -> PathBuf {
        self.workshop.path().join(ROOT)
    }

    /// Where it goes.
    pub(super) fn destination(&self) -> &Path {
        &self.destination
    }

    /// Puts the root into its place. Nobody sees half of it, nor none where there was one.
    pub(super) fn publish(self, marker: &Marker, force: bool) -> Result<PathBuf, RootfsError> {
        let root = self.root();
        write_marker(&root, marker).map_err(RootfsError::io("write", root.join(MARKER)))?;
        // Again: it took a while.
        check_free(&self.destination, force)?;
        exchange(&root, &self.destination, self.workshop.path())
            .map_err(RootfsError::io("put the new root file system at", &self.destination))?;
        Ok(self.destination.clone())
    }

    /// Removes all that is in the directory beside the root.
    fn sweep(&self) -> io::Result<()> {
        for entry in fs_err::read_dir(self.workshop.path())? {
            remove(entry?.path())?;
        }
        Ok(())
    }
}

/// The directory `path`, for as long as a root is made in it for `destination`.
fn workshop(path: &Path, destination: &Path) -> Result<LockedHome, RootfsError> {
    LockedHome::at(path).map_err(|error| match error {
        HomeError::Busy(_) => RootfsError::Busy(destination.to_owned()),
        HomeError::InTheWay { path, problem } => RootfsError::InTheWay { path, problem },
        HomeError::Io(error) => RootfsError::io("use", path)(error),
    })
}

/// Whether a root may be put at `destination`.
fn check_free(destination: &Path, force: bool) -> Result<(), RootfsError> {
    let mut entries = match fs_err::read_dir(destination) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(RootfsError::io("use", destination)(error)),
    };
    if entries.next().is_none() {
        return Ok(());
    }
    if !force {
        return Err(RootfsError::Exists(destination.to_owned()));
    }
    match read_marker(destination) {
        Some(_) => Ok(()),
        None => Err(RootfsError::NotOurs(destination.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn marker() -> Marker {
        Marker { crosswheel: "1".into(), arch: "arm64".into(), source: "a test".into() }
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs_err::read_dir(directory)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_root_appears_whole_and_nothing_stays_beside_it() {
        let parent = tempfile::tempdir().unwrap();
        let destination = parent.path().join("deep/root");
        let place = Place::new(&destination, false).unwrap();
        fs_err::write(place.root().join("file"), "1").unwrap();
        assert!(!destination.exists());
        assert_eq!(place.publish(&marker(), false).unwrap(), destination);
        assert_eq!(read_marker(&destination), Some(marker()));
        assert_eq!(names(&parent.path().join("deep")), ["root"]);

        let error = Place::new(&destination, false).unwrap_err();
        assert!(matches!(error, RootfsError::Exists(_)), "{error}");
        let place = Place::new(&destination, true).unwrap();
        fs_err::write(place.root().join("file"), "2").unwrap();
        place.publish(&marker(), true).unwrap();
        assert_eq!(fs_err::read_to_string(destination.join("file")).unwrap(), "2");
        assert_eq!(names(&parent.path().join("deep")), ["root"]);
    }

    #[test]
    fn what_somebody_else_has_made_is_never_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let precious = parent.path().join("home");
        fs_err::create_dir(&precious).unwrap();
        // An empty directory may be made in advance.
        drop(Place::new(&precious, false).unwrap());
        fs_err::write(precious.join("thesis"), "x").unwrap();
        for marked in [false, true] {
            if marked {
                fs_err::write(parent.path().join("marker"), serde_json::to_vec(&marker()).unwrap()).unwrap();
                fs_err::os::unix::fs::symlink("../marker", precious.join(MARKER)).unwrap();
            }
            let error = Place::new(&precious, true).unwrap_err();
            assert!(matches!(error, RootfsError::NotOurs(_)), "{error}");
        }
        let file = parent.path().join("file");
        fs_err::write(&file, "x").unwrap();
        assert!(matches!(Place::new(&file, true).unwrap_err(), RootfsError::Io { .. }));
        assert!(precious.join("thesis").exists());
    }

    #[test]
    fn what_others_could_have_put_beside_the_root_is_not_worked_in() {
        let parent = tempfile::tempdir().unwrap();
        let destination = parent.path().join("root");
        let workshop = parent.path().join(".root.crosswheel-partial");
        let place = Place::new(&destination, false).unwrap();
        assert_eq!(fs_err::metadata(&workshop).unwrap().mode() & 0o777, 0o700);
        drop(place);

        let refused = || {
            let error = Place::new(&destination, false).unwrap_err();
            assert!(matches!(error, RootfsError::InTheWay { .. }), "{error}");
            assert!(error.hint().unwrap().contains(".root.crosswheel-partial"));
            error.to_string()
        };
        fs_err::create_dir(parent.path().join("elsewhere")).unwrap();
        for target in ["elsewhere", "nowhere"] {
            fs_err::os::unix::fs::symlink(target, &workshop).unwrap();
            assert!(refused().ends_with("it is no directory"), "{}", refused());
            fs_err::remove_file(&workshop).unwrap();
        }
        fs_err::write(&workshop, "x").unwrap();
        assert!(refused().ends_with("it is no directory"), "{}", refused());
        fs_err::remove_file(&workshop).unwrap();
        for mode in [0o777, 0o770] {
            fs_err::create_dir_all(workshop.join("root")).unwrap();
            fs_err::set_permissions(&workshop, PermissionsExt::from_mode(mode)).unwrap();
            assert!(refused().ends_with("it can be changed by other users"), "{}", refused());
            assert!(workshop.join("root").exists());
        }
    }

    #[test]
    fn what_a_crash_left_is_swept_and_what_is_at_work_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let destination = parent.path().join("root");
        let workshop = parent.path().join(".root.crosswheel-partial");
        fs_err::create_dir_all(workshop.join("root/half")).unwrap();
        fs_err::create_dir_all(workshop.join("removed/7/half")).unwrap();
        fs_err::set_permissions(&workshop, PermissionsExt::from_mode(0o755)).unwrap();
        let place = Place::new(&destination, false).unwrap();
        assert_eq!(names(&place.root()), [""; 0]);
        let error = Place::new(&destination, false).unwrap_err();
        assert!(matches!(error, RootfsError::Busy(_)), "{error}");
        drop(place);
        assert_eq!(names(parent.path()), [""; 0]);
        Place::new(&destination, false).unwrap();
    }
}
