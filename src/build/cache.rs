//! The cache directory: where each kind of entry lives, and how entries appear whole or not at all.
//! Everything temporary is made in a directory of this run, on the same file system, and renamed.
//! Knows nothing of what the entries mean.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::Sha256;
use crate::scratch::file::{FileAccess, WholeFile};
use crate::scratch::home::LockedHome;
use crate::scratch::staging::exchange;
use crate::scratch::temporary::TemporaryDirectory;

/// How long an index allows its pages to be reused (PyPI: `Cache-Control: max-age=600`).
pub const FRESH: Duration = Duration::from_secs(600);

/// The directories of runs; those whose owners are gone are removed by the next run.
const RUN: &str = "run-";

/// The cache directory, and the temporary directory of this run inside it.
#[derive(Debug)]
pub struct Cache {
    root: PathBuf,
    run: LockedHome,
    exclusive: Mutex<HashMap<Sha256, Arc<Mutex<()>>>>,
}

impl Cache {
    /// Opens the cache at `root`, creating it if need be.
    pub fn open(root: &Path) -> std::io::Result<Self> {
        let temporary = root.join("tmp");
        fs_err::create_dir_all(&temporary)?;
        let root = fs_err::canonicalize(root)?;
        // What cannot be removed now is tried again by the next run.
        let _ = LockedHome::sweep(&temporary, RUN);
        let run = LockedHome::create(&temporary, RUN, 0o700)?;
        Ok(Self { root, run, exclusive: Mutex::default() })
    }

    /// The cache directory itself, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of this run, removed when it ends.
    pub fn run_directory(&self) -> &Path {
        self.run.path()
    }

    /// A new temporary directory of this run.
    pub fn temporary_directory(&self) -> std::io::Result<TemporaryDirectory> {
        TemporaryDirectory::new_in(self.run.path())
    }

    /// A new temporary file of this run, to be published with `access`.
    pub fn temporary_file(&self, access: FileAccess) -> std::io::Result<WholeFile> {
        WholeFile::create_in(self.run.path(), access)
    }

    /// Where the file `file_name` with digest `sha256` is kept once it was fetched.
    pub fn download(&self, sha256: Sha256, file_name: &str) -> PathBuf {
        self.root.join("downloads").join(sha256.to_string()).join(file_name)
    }

    /// The directory of the built wheel with digest `sha256`.
    pub fn wheel(&self, sha256: Sha256) -> PathBuf {
        self.root.join("wheels").join(sha256.to_string())
    }

    /// The directory of crates that were fetched under `key`.
    pub fn crates(&self, key: Sha256) -> PathBuf {
        self.root.join("crates").join(key.to_string())
    }

    /// The directory of the archive with digest `sha256`, unpacked.
    pub fn unpacked_archive(&self, sha256: Sha256) -> PathBuf {
        self.root.join("archives").join(sha256.to_string())
    }

    /// All that was fetched of the git repository with this key.
    pub fn repository(&self, key: Sha256) -> PathBuf {
        self.root.join("git/repositories").join(key.to_string())
    }

    /// The directory of the working tree of a commit of that repository.
    pub fn checkout(&self, key: Sha256, commit: &str) -> PathBuf {
        self.root.join("git/checkouts").join(key.to_string()).join(commit)
    }

    /// The directory of a version of uv that we installed.
    pub fn uv(&self, version: &str) -> PathBuf {
        self.root.join("uv").join(version)
    }

    /// The JSON document of `kind` stored under `key`, and how old it is. An entry that cannot be
    /// read is no entry.
    pub fn read<T: DeserializeOwned>(&self, kind: &str, key: Sha256) -> Option<(T, Duration)> {
        let path = self.document(kind, key);
        let bytes = fs_err::read(&path).ok()?;
        let value = serde_json::from_slice(&bytes).ok()?;
        let written = fs_err::metadata(&path).and_then(|metadata| metadata.modified()).ok()?;
        // A time in the future is a clock that was set back: such an entry counts as old.
        let age = SystemTime::now().duration_since(written).unwrap_or(Duration::MAX);
        Some((value, age))
    }

    /// Stores a JSON document of `kind` under `key`.
    pub fn write<T: Serialize>(&self, kind: &str, key: Sha256, value: &T) -> std::io::Result<()> {
        let mut file = self.temporary_file(FileAccess::Private)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        self.publish(file, &self.document(kind, key))
    }

    /// Runs `work` while no other thread of this process does so for the same `key`, so that what
    /// several sources need is made once. Within `work`, only keys of another kind may be locked.
    pub fn exclusively<T>(&self, key: Sha256, work: impl FnOnce() -> T) -> T {
        let mutex = {
            let mut exclusive = self.exclusive.lock();
            Arc::clone(exclusive.entry(key).or_default())
        };
        let _guard = mutex.lock();
        work()
    }

    /// Renames the complete `file` to `destination`, inside the cache.
    pub fn publish(&self, file: WholeFile, destination: &Path) -> std::io::Result<()> {
        create_parent(destination)?;
        file.publish(destination)
    }

    /// Renames the complete directory `from` to `destination`. What is there already changes places with it,
    /// at one stroke: another run may be reading it, or publish the same at this moment.
    pub fn publish_directory(&self, from: &Path, destination: &Path) -> std::io::Result<()> {
        create_parent(destination)?;
        exchange(from, destination, self.run.path())
    }

    fn document(&self, kind: &str, key: Sha256) -> PathBuf {
        self.root.join(kind).join(format!("{key}.json"))
    }
}

fn create_parent(path: &Path) -> std::io::Result<()> {
    fs_err::create_dir_all(path.parent().unwrap_or(Path::new("/")))
}

/// Builds the key of a cache entry from its parts; no two lists of parts share a key.
#[derive(Default)]
pub struct KeyBuilder(Vec<u8>);

impl KeyBuilder {
    /// Adds one part.
    pub fn part(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.0.extend_from_slice(format!("{name} {}\n", value.len()).as_bytes());
        self.0.extend_from_slice(value);
        self
    }

    /// Adds each of `values`, in order, as a part of its own.
    pub fn parts<V: AsRef<[u8]>>(self, name: &str, values: impl IntoIterator<Item = V>) -> Self {
        values.into_iter().fold(self, |key, value| key.part(name, value))
    }

    /// The key.
    pub fn finish(self) -> Sha256 {
        Sha256::of(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting::scope;

    #[test]
    fn documents_round_trip_and_damaged_ones_are_no_entry() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path()).unwrap();
        let key = Sha256::of(b"key");
        assert!(cache.read::<Vec<u8>>("facts", key).is_none());
        cache.write("facts", key, &vec![1, 2]).unwrap();
        let (value, age) = cache.read::<Vec<u8>>("facts", key).unwrap();
        assert_eq!(value, [1, 2]);
        assert!(age < FRESH);
        fs_err::write(cache.document("facts", key), "[1,").unwrap();
        assert!(cache.read::<Vec<u8>>("facts", key).is_none());
    }

    #[test]
    fn a_directory_published_by_many_at_once_is_always_there_and_whole() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path()).unwrap();
        let destination = cache.wheel(Sha256::of(b"key"));
        let publish = || {
            for _ in 0..100 {
                let made = cache.temporary_directory().unwrap().keep();
                fs_err::write(made.join("wheel"), "whole").unwrap();
                cache.publish_directory(&made, &destination).unwrap();
                assert_eq!(fs_err::read_to_string(destination.join("wheel")).unwrap(), "whole");
            }
        };
        scope("publishers", |scope| (0..4).for_each(|_| drop(scope.spawn(publish))));
    }

    #[test]
    fn the_directory_of_a_run_goes_away_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path()).unwrap();
        fs_err::write(cache.run_directory().join("half"), "half").unwrap();
        drop(cache);
        assert_eq!(fs_err::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn parts_cannot_be_shifted_into_one_another() {
        let key = |parts: &[(&str, &str)]| {
            parts.iter().fold(KeyBuilder::default(), |key, (name, value)| key.part(name, value)).finish()
        };
        assert_ne!(key(&[("a", "bc")]), key(&[("ab", "c")]));
        assert_ne!(key(&[("a", "b"), ("a", "c")]), key(&[("a", "ba 1\nc")]));
    }
}
