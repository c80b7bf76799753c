//! A place with canaries around the destination, and what must be true of it afterwards.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crosswheel::archive::{ArchiveError, SourceTree, TopLevelFiles, read_top_level_files, unpack};
use crosswheel::contract::{ArchiveLimits, Failure};
use tempfile::TempDir;

/// `place/archive`, and `place/outer/destination` between files that nothing may touch.
pub struct Scene {
    place: TempDir,
}

/// Type and mode, mtime in nanoseconds, and contents or target.
pub type Snapshot = BTreeMap<PathBuf, (u32, i64, Vec<u8>)>;

impl Scene {
    pub fn new(archive: &[u8]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let scene = Self { place };
        fs_err::create_dir_all(scene.destination()).unwrap();
        for canary in
            ["canary", "outer/canary", "outer/destination/canary", "outer/destination/beside/canary"]
        {
            let path = scene.place.path().join(canary);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "sings").unwrap();
        }
        fs_err::write(scene.archive(), archive).unwrap();
        scene
    }

    pub fn archive(&self) -> PathBuf {
        self.place.path().join("archive")
    }

    pub fn destination(&self) -> PathBuf {
        self.place.path().join("outer/destination")
    }

    /// Everything in this place.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::new();
        record(self.place.path(), &mut snapshot);
        snapshot
    }

    /// Unpacks, and checks that nothing but the top-level directory came to be.
    pub fn unpack(&self, limits: &ArchiveLimits) -> Result<SourceTree, ArchiveError> {
        let before = self.snapshot();
        let result = unpack(&self.archive(), &self.destination(), limits);
        let mut after = self.snapshot();
        if let Ok(tree) = &result {
            assert_eq!(tree.root, self.destination().join(&tree.top_level));
            after.retain(|path, _| !path.starts_with(&tree.root));
        }
        // The destination's own time may change when something is made in it.
        let without_times = |snapshot: Snapshot| -> Vec<_> {
            let timeless = |path: &Path| path == self.destination();
            snapshot
                .into_iter()
                .map(|(path, (mode, mtime, contents))| {
                    let mtime = if timeless(&path) { 0 } else { mtime };
                    (path, mode, mtime, contents)
                })
                .collect()
        };
        assert_eq!(without_times(before), without_times(after), "something outside the tree changed");
        result
    }

    pub fn read(&self, names: &[&str], limits: &ArchiveLimits) -> Result<TopLevelFiles, ArchiveError> {
        let before = self.snapshot();
        let result = read_top_level_files(&self.archive(), names, limits);
        assert_eq!(before, self.snapshot(), "reading changed something");
        result
    }
}

fn record(directory: &Path, snapshot: &mut Snapshot) {
    for entry in fs_err::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs_err::symlink_metadata(&path).unwrap();
        let contents = if metadata.is_symlink() {
            fs_err::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else if metadata.is_file() {
            fs_err::read(&path).unwrap()
        } else {
            Vec::new()
        };
        let mtime = metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec();
        if metadata.is_dir() {
            record(&path, snapshot);
        }
        snapshot.insert(path, (metadata.mode(), mtime, contents));
    }
}

/// Unpacks an archive that must be accepted, and returns its tree and what is in it, by path below the root.
pub fn accepted(archive: &[u8]) -> (SourceTree, Snapshot) {
    let scene = Scene::new(archive);
    let tree = scene.unpack(&ArchiveLimits::default()).unwrap_or_else(|error| panic!("refused: {error}"));
    let seen = scene.read(&[], &ArchiveLimits::default()).unwrap();
    assert_eq!((&seen.top_level, seen.sha256), (&tree.top_level, tree.sha256));
    let inside = scene
        .snapshot()
        .into_iter()
        .filter_map(|(path, seen)| Some((path.strip_prefix(&tree.root).ok()?.to_owned(), seen)))
        .filter(|(path, _)| path != Path::new(""))
        .collect();
    (tree, inside)
}

/// Mode (with type), mtime in seconds and contents of one path of an accepted archive.
#[track_caller]
pub fn at<'s>(snapshot: &'s Snapshot, path: &str) -> (u32, i64, &'s str) {
    let (mode, mtime, contents) =
        snapshot.get(Path::new(path)).unwrap_or_else(|| panic!("no {path}: {snapshot:?}"));
    (*mode, mtime / 1_000_000_000, std::str::from_utf8(contents).unwrap())
}

/// Unpacks an archive that must be refused, with and without writing, with a message that says `expected`.
#[track_caller]
pub fn refused(archive: &[u8], expected: &str) {
    refused_within(archive, &ArchiveLimits::default(), expected);
}

#[track_caller]
pub fn refused_within(archive: &[u8], limits: &ArchiveLimits, expected: &str) {
    let scene = Scene::new(archive);
    let error = scene.unpack(limits).expect_err("accepted");
    assert!(error.is_refusal(), "{error}");
    assert!(error.to_string().contains(expected), "`{error}` does not say `{expected}`");
    assert_eq!(scene.read(&[], limits).expect_err("accepted").to_string(), error.to_string());

    // A destination that did not exist does not exist afterwards.
    let missing = scene.destination().join("missing");
    unpack(&scene.archive(), &missing, limits).expect_err("accepted");
    assert!(!missing.exists());

    let text = error.to_string();
    let failure = Failure::from(error);
    assert_eq!((failure.class.exit_code(), failure.message), (18, text));
}
