//! Looks at a store that need not be open: whether its files are what their names say, and what they amount to.
//! Knows nothing of how findings are shown.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use serde::Serialize;

use super::files::io;
use super::layout::{Key, Kind, Shard, TREES};
use super::proof::flaw;
use super::proofs::is_file;
use super::store::lock;
use crate::cas::error::StoreError;
use crate::scratch::removal::remove_at;

/// What [`verify_store`] found.
#[derive(Debug, Default, Serialize)]
pub struct Verification {
    /// Blobs and results looked at.
    pub files: u64,
    /// Bytes hashed.
    pub bytes: u64,
    /// Sorted by name.
    pub damaged: Vec<DamagedFile>,
}

/// A file that is not what its name says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DamagedFile {
    /// Its path in the store.
    pub file: String,
    pub problem: String,
    /// It was deleted.
    pub removed: bool,
}

/// What is in a store.
#[derive(Debug, Default, Serialize)]
pub struct StoreStatistics {
    pub blobs: FileTotals,
    pub results: FileTotals,
    /// The largest blobs, largest first.
    pub largest: Vec<LargeBlob>,
    /// Blobs and results by the time since they were used, as far as their files tell.
    pub ages: Vec<AgeClass>,
    /// Materialised input trees.
    pub trees: u64,
}

/// Files of a kind.
#[derive(Debug, Default, Serialize)]
pub struct FileTotals {
    pub files: u64,
    pub bytes: u64,
    /// Bytes of disk they take.
    pub disk_bytes: u64,
}

/// A blob that stands out.
#[derive(Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct LargeBlob {
    pub size_bytes: u64,
    /// Its path in the store.
    pub file: String,
}

/// Files last used less long ago than `within_seconds`, and longer ago than the class before.
#[derive(Debug, Serialize)]
pub struct AgeClass {
    /// `None`: all others.
    pub within_seconds: Option<u64>,
    pub files: u64,
    pub bytes: u64,
}

const LARGEST: usize = 10;
const HOUR: u64 = 3600;
const AGES: [u64; 5] = [HOUR, 24 * HOUR, 7 * 24 * HOUR, 30 * 24 * HOUR, 365 * 24 * HOUR];

/// Hashes everything in the store, on all cores. With `repair`, what is damaged is deleted, for which nobody else
/// may have the store open. `progress` is told bytes and files so far, on several threads.
///
/// # Errors
/// A store that is not there or cannot be listed; [`StoreError::InUse`].
pub fn verify_store(
    directory: &Path,
    repair: bool,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Verification, StoreError> {
    let _lock = if repair { Some(lock(exists(directory)?)?) } else { None };
    let shards: Vec<Shard> = Shard::all().collect();
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let found = Mutex::new(Verification::default());
    let work = || -> Result<(), StoreError> {
        while !stop.load(Relaxed) {
            let Some(shard) = shards.get(next.fetch_add(1, Relaxed)) else { break };
            visit(directory, *shard, |parent, key, status| {
                let (bytes, problem) = if is_file(status) {
                    examine(parent, &key)
                } else {
                    (0, Some("it is no file".to_owned()))
                };
                let mut found = found.lock();
                found.files += 1;
                found.bytes += bytes;
                if let Some(problem) = problem {
                    let removed = repair && remove_at(parent.as_fd(), Path::new(&file_name(&key))).is_ok();
                    let file = key.name().as_str().to_owned();
                    found.damaged.push(DamagedFile { file, problem, removed });
                }
                progress(found.bytes, found.files);
            })
            .inspect_err(|_| stop.store(true, Relaxed))?;
        }
        Ok(())
    };
    exists(directory)?;
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        others.into_iter().map(|other| other.join().unwrap_or(Ok(()))).fold(own, Result::and)
    })?;
    let mut found = found.into_inner();
    found.damaged.sort();
    Ok(found)
}

/// Adds up what is in the store.
///
/// # Errors
/// A store that is not there or cannot be listed.
pub fn store_statistics(directory: &Path) -> Result<StoreStatistics, StoreError> {
    exists(directory)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut statistics = StoreStatistics::default();
    let limits = AGES.into_iter().map(Some).chain([None]);
    statistics.ages = limits.map(|within_seconds| AgeClass { within_seconds, files: 0, bytes: 0 }).collect();
    for shard in Shard::all() {
        visit(directory, shard, |_, key, status| {
            if !is_file(status) {
                return;
            }
            let size = u64::try_from(status.st_size).unwrap_or(0);
            let totals = match key.kind {
                Kind::Blob => &mut statistics.blobs,
                Kind::Result => &mut statistics.results,
            };
            totals.files += 1;
            totals.bytes += size;
            totals.disk_bytes += u64::try_from(status.st_blocks).unwrap_or(0) * 512;
            let used = u64::try_from(status.st_mtime.max(status.st_atime)).unwrap_or(0);
            let age = now.saturating_sub(Duration::from_secs(used)).as_secs();
            let within = |class: &&mut AgeClass| class.within_seconds.is_none_or(|limit| age < limit);
            if let Some(class) = statistics.ages.iter_mut().find(within) {
                class.files += 1;
                class.bytes += size;
            }
            if key.kind == Kind::Blob {
                note_large(&mut statistics.largest, size, &key);
            }
        })?;
    }
    if let Ok(trees) = fs_err::read_dir(directory.join(TREES)) {
        statistics.trees = trees.flatten().count() as u64;
    }
    Ok(statistics)
}

fn note_large(largest: &mut Vec<LargeBlob>, size_bytes: u64, key: &Key) {
    if largest.len() == LARGEST && largest.last().is_some_and(|least| least.size_bytes >= size_bytes) {
        return;
    }
    largest.push(LargeBlob { size_bytes, file: key.name().as_str().to_owned() });
    largest.sort_by(|a, b| b.cmp(a));
    largest.truncate(LARGEST);
}

fn exists(directory: &Path) -> Result<&Path, StoreError> {
    match fs_err::metadata(directory) {
        Ok(_) => Ok(directory),
        Err(error) => Err(io("find the store", error)),
    }
}

/// Calls `each` for what has the name of a file of ours in a directory of the layout, with the directory itself.
fn visit(
    store: &Path,
    shard: Shard,
    mut each: impl FnMut(&rustix::fd::OwnedFd, Key, &rustix::fs::Stat),
) -> Result<(), StoreError> {
    let path = shard.name().below(store);
    let failed = |error: Errno| io(&format!("list {}", path.display()), error);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = match rustix::fs::open(&path, flags, Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    for entry in Dir::read_from(&directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Some(key) = shard.key(entry.file_name().to_bytes()) else { continue };
        match statat(&directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => each(&directory, key, &status),
            // Evicted meanwhile, if somebody uses the store.
            Err(Errno::NOENT) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

fn file_name(key: &Key) -> String {
    hex::encode(key.hash)
}

/// Bytes read, and what is wrong with a file.
fn examine(directory: &rustix::fd::OwnedFd, key: &Key) -> (u64, Option<String>) {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    // Looking at it is no use of it; only owners may ask for that.
    let file = openat(directory, file_name(key), flags | OFlags::NOATIME, Mode::empty())
        .or_else(|_| openat(directory, file_name(key), flags, Mode::empty()));
    let mut file = match file {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return (0, None),
        Err(error) => return (0, Some(format!("it cannot be opened: {error}"))),
    };
    flaw(&mut file, key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use bytes::Bytes;

    use super::*;
    use crate::cas::disk::settings::StoreSettings;
    use crate::cas::disk::store::DiskStore;
    use crate::cas::traits::{ActionCache, BlobStore};
    use crate::digest::DigestFunction;
    use crate::reapi::ActionResult;

    fn overwrite(path: &Path, bytes: &[u8]) {
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
        fs_err::write(path, bytes).unwrap();
    }

    #[test]
    fn damage_is_found_named_and_repaired() {
        let directory = tempfile::tempdir().unwrap();
        let settings = StoreSettings { directory: directory.path().to_owned(), ..StoreSettings::default() };
        let store = DiskStore::open(&settings).unwrap();
        let mut blobs = Vec::new();
        for function in DigestFunction::ALL {
            for number in 0..20_u8 {
                let bytes = Bytes::from(vec![number; 100]);
                blobs.push(function.digest(&bytes));
                store.write(&function.digest(&bytes), bytes).unwrap();
            }
        }
        store.put("", &blobs[0], &ActionResult { exit_code: 1, ..ActionResult::default() }).unwrap();
        store.put("", &blobs[1], &ActionResult::default()).unwrap();
        fs_err::write(directory.path().join("cas").join("foreign"), "x").unwrap();

        let places: Vec<String> = [Key::blob(&blobs[3]), Key::blob(&blobs[25]), Key::result("", &blobs[0])]
            .iter()
            .map(|key| key.name().as_str().to_owned())
            .collect();
        let sound = verify_store(directory.path(), false, &|_, _| {}).unwrap();
        assert_eq!((sound.files, sound.damaged.len()), (42, 0));
        for place in &places {
            // The same length: reading would not notice.
            let length = fs_err::metadata(directory.path().join(place)).unwrap().len();
            overwrite(&directory.path().join(place), &vec![0xff; usize::try_from(length).unwrap()]);
        }
        let found = verify_store(directory.path(), false, &|_, _| {}).unwrap();
        let mut named: Vec<&str> = found.damaged.iter().map(|damaged| damaged.file.as_str()).collect();
        named.sort_unstable();
        let mut expected: Vec<&str> = places.iter().map(String::as_str).collect();
        expected.sort_unstable();
        // The result's file has lost its seal, too, and is no message.
        assert_eq!(named, expected);
        assert!(found.damaged.iter().all(|damaged| !damaged.removed));

        let in_use = verify_store(directory.path(), true, &|_, _| {}).unwrap_err();
        assert!(matches!(in_use, StoreError::InUse { .. }));
        drop(store);
        let repaired = verify_store(directory.path(), true, &|_, _| {}).unwrap();
        assert!(repaired.damaged.len() == 3 && repaired.damaged.iter().all(|damaged| damaged.removed));
        assert!(verify_store(directory.path(), false, &|_, _| {}).unwrap().damaged.is_empty());
    }

    #[test]
    fn what_is_no_file_is_found_and_removed_and_nobody_waits_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let digests = [b"fifo", b"link", b"tree"].map(|bytes| DigestFunction::Sha256.digest(bytes));
        let places = digests.map(|digest| Key::blob(&digest).name().below(directory.path()));
        places.iter().for_each(|place| fs_err::create_dir_all(place.parent().unwrap()).unwrap());
        let mode = Mode::from_raw_mode(0o644);
        rustix::fs::mknodat(rustix::fs::CWD, &places[0], rustix::fs::FileType::Fifo, mode, 0).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &places[1]).unwrap();
        fs_err::create_dir_all(places[2].join("deep")).unwrap();
        let found = verify_store(directory.path(), false, &|_, _| {}).unwrap();
        assert_eq!(found.damaged.len(), 3);
        let repaired = verify_store(directory.path(), true, &|_, _| {}).unwrap();
        assert!(repaired.damaged.iter().all(|damaged| damaged.removed));
        assert!(places.iter().all(|place| fs_err::symlink_metadata(place).is_err()));
        assert_eq!(store_statistics(directory.path()).unwrap().blobs.files, 0);
    }

    #[test]
    fn statistics_add_up() {
        let directory = tempfile::tempdir().unwrap();
        let settings = StoreSettings { directory: directory.path().to_owned(), ..StoreSettings::default() };
        let store = DiskStore::open(&settings).unwrap();
        for size in 1..=20_usize {
            let bytes = Bytes::from(vec![1; size * 1000]);
            store.write(&DigestFunction::Sha256.digest(&bytes), bytes).unwrap();
        }
        let action = DigestFunction::Sha256.digest(b"action");
        store.put("", &action, &ActionResult::default()).unwrap();
        fs_err::create_dir(store.trees_directory().join("tree")).unwrap();
        let old = store.trees_directory().parent().unwrap().join(Key::result("", &action).name().as_str());
        let long_ago = SystemTime::now() - Duration::from_secs(48 * HOUR);
        let times = std::fs::FileTimes::new().set_modified(long_ago).set_accessed(long_ago);
        fs_err::File::open(old).unwrap().file().set_times(times).unwrap();

        let statistics = store_statistics(directory.path()).unwrap();
        assert_eq!((statistics.blobs.files, statistics.blobs.bytes), (20, 210_000));
        assert_eq!((statistics.results.files, statistics.trees), (1, 1));
        let largest: Vec<u64> = statistics.largest.iter().map(|blob| blob.size_bytes).collect();
        assert_eq!(largest, (11..=20).rev().map(|size| size * 1000).collect::<Vec<u64>>());
        let ages: Vec<u64> = statistics.ages.iter().map(|class| class.files).collect();
        assert_eq!(ages, [20, 0, 1, 0, 0, 0]);
        assert!(store_statistics(&directory.path().join("none")).is_err());
    }
}
