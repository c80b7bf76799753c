//! Where a root file system is made: beside its place, and moved there when it is whole. A crash leaves a directory
//! beside it that the next attempt removes; what was not made by us is never removed. Knows nothing of its contents.

use std::ffi::OsString;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fs_err::File;
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, mkdirat, openat, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::error::RootfsError;
use super::removal::Bin;

/// The file at the top of a root that says who made it.
pub const MARKER: &str = ".crosswheel-root.json";

/// What stands in [`MARKER`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Version of crosswheel.
    pub crosswheel: String,
    /// The architecture, as the `Arch` property has it.
    pub arch: String,
    /// What it was made from, in words.
    pub source: String,
}

/// A root in the making. Dropped before it is published, it is gone.
#[derive(Debug)]
pub(super) struct Place {
    /// Where it goes.
    destination: PathBuf,
    /// A directory beside that, locked as long as it is in use; the root is in it.
    workshop: PathBuf,
    /// Ends with the process, whatever ends that.
    lock: File,
}

/// The root that is being made.
const ROOT: &str = "root";
/// The one that was in its place, where file systems cannot exchange two directories.
const REPLACED: &str = "replaced";
/// For what is to be removed.
const REMOVED: &str = "removed";

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
        let workshop = parent.join(name);
        let lock = lock(&workshop, &destination)?;
        let place = Self { destination, workshop, lock };
        place.sweep().map_err(RootfsError::io("remove what was left in", &place.workshop))?;
        let root = place.root();
        let failed = RootfsError::io("make the directory", &root);
        fs_err::create_dir(&root)
            .and_then(|()| fs_err::set_permissions(&root, PermissionsExt::from_mode(0o755)))
            .map_err(failed)?;
        Ok(place)
    }

    /// The root in the making.
    pub(super) fn root(&self) -> PathBuf {
        self.workshop.join(ROOT)
    }

    /// Where it goes.
    pub(super) fn destination(&self) -> &Path {
        &self.destination
    }

    /// For what has to be removed from it.
    pub(super) fn bin(&self) -> Result<Bin, RootfsError> {
        Bin::new(self.lock.as_fd(), REMOVED).map_err(RootfsError::io("make a directory in", &self.workshop))
    }

    /// Puts the root into its place. Nobody sees half of it, nor none where there was one.
    pub(super) fn publish(self, marker: &Marker, force: bool) -> Result<PathBuf, RootfsError> {
        let root = self.root();
        write_marker(&root, marker).map_err(RootfsError::io("write", root.join(MARKER)))?;
        // Again: it took a while.
        check_free(&self.destination, force)?;
        let attempt = "put the new root file system at";
        let failed = |error: std::io::Error| RootfsError::io(attempt, &self.destination)(error);
        match renameat_with(CWD, &root, CWD, &self.destination, RenameFlags::EXCHANGE) {
            Ok(()) => {}
            Err(Errno::NOENT) => fs_err::rename(&root, &self.destination).map_err(failed)?,
            // A file system that cannot exchange.
            Err(Errno::INVAL | Errno::NOSYS) => {
                let old = self.workshop.join(REPLACED);
                fs_err::rename(&self.destination, old).map_err(failed)?;
                fs_err::rename(&root, &self.destination).map_err(failed)?;
            }
            Err(error) => return Err(failed(error.into())),
        }
        Ok(self.destination.clone())
    }

    /// Removes all that is in the directory beside the root.
    fn sweep(&self) -> Result<(), Errno> {
        let workshop = self.lock.as_fd();
        let mut bin = Bin::new(workshop, REMOVED)?;
        bin.empty()?;
        bin.remove(workshop, Path::new(ROOT))?;
        bin.remove(workshop, Path::new(REPLACED))
    }
}

impl Drop for Place {
    /// Removes the directory beside the root and what is in it: a root that did not come to be, or the one that was
    /// replaced.
    fn drop(&mut self) {
        // There is nobody to tell; the next attempt tries again.
        if self.sweep().is_ok() {
            let _ = fs_err::remove_dir(self.workshop.join(REMOVED));
            let _ = fs_err::remove_dir(&self.workshop);
        }
    }
}

/// Each time somebody else has to end their work on the same root at the wrong moment.
const MOST_TRIES: usize = 100;

/// Makes and locks the directory `workshop`.
fn lock(workshop: &Path, destination: &Path) -> Result<File, RootfsError> {
    for _ in 0..MOST_TRIES {
        if let Some(lock) = try_lock(workshop, destination)? {
            return Ok(lock);
        }
    }
    Err(RootfsError::Busy(destination.to_owned()))
}

/// Nothing if somebody has removed it meanwhile. Its name is no secret, so whoever can write to the directory around it
/// may have made it: one in which others could exchange the root for theirs is refused.
fn try_lock(workshop: &Path, destination: &Path) -> Result<Option<File>, RootfsError> {
    match mkdirat(CWD, workshop, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(RootfsError::io("make the directory", workshop)(error)),
    }
    let in_the_way = |problem| RootfsError::InTheWay { path: workshop.to_owned(), problem };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match openat(CWD, workshop, flags, Mode::empty()) {
        Ok(directory) => File::from_parts(directory.into(), workshop),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP | Errno::NOTDIR) => return Err(in_the_way("is no directory")),
        Err(error) => return Err(RootfsError::io("open", workshop)(error)),
    };
    let locked = file.metadata().map_err(RootfsError::io("look at", workshop))?;
    let own = rustix::process::geteuid().as_raw();
    check_private(locked.uid(), locked.mode(), own).map_err(in_the_way)?;
    match file.file().try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => return Err(RootfsError::Busy(destination.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => return Err(RootfsError::io("lock", workshop)(error)),
    }
    let same = fs_err::symlink_metadata(workshop)
        .is_ok_and(|there| (there.dev(), there.ino()) == (locked.dev(), locked.ino()));
    Ok(same.then_some(file))
}

/// Whether nobody but the user `own` can change what is in a directory of `owner` with `mode`.
fn check_private(owner: u32, mode: u32, own: u32) -> Result<(), &'static str> {
    if owner != own {
        Err("belongs to another user")
    } else if mode & 0o022 != 0 {
        Err("can be changed by other users")
    } else {
        Ok(())
    }
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

/// What the root at `root` says of who made it, if crosswheel did.
pub fn read_marker(root: &Path) -> Option<Marker> {
    let path = root.join(MARKER);
    // Not through a link.
    fs_err::symlink_metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
    serde_json::from_slice(&fs_err::read(path).ok()?).ok()
}

/// Never through a link that an archive has put there.
fn write_marker(root: &Path, marker: &Marker) -> std::io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(root)?;
    file.write_all(&serde_json::to_vec_pretty(marker)?)?;
    file.as_file().set_permissions(PermissionsExt::from_mode(0o644))?;
    file.persist(root.join(MARKER))?;
    Ok(())
}

#[cfg(test)]
mod tests {
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
        assert_eq!(check_private(7, 0o40700, 8), Err("belongs to another user"));
        assert_eq!(check_private(7, 0o40755, 7), Ok(()));
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
