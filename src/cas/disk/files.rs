//! The files of the store and the index of them, changed together: listing, opening, publishing, removing.
//! Knows nothing of when something ought to be removed.

use std::fs::File;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use parking_lot::{Mutex, RwLockReadGuard};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

use super::clock::Clock;
use super::index::{Entry, Index, Inode, Table, TableMut};
use super::layout::{Key, Kind, Name, Shard, TEMPORARY};
use super::names::{make_directories, unlink};
use super::proofs::{Presence, Proofs, is_damage};
use super::quarantine::Quarantine;
use super::settings::StoreSettings;
use super::sweep;
use super::watch::Watch;
use crate::cas::error::StoreError;
use crate::digest::{Digest, Hasher};
use crate::scratch::removal::remove;

/// Files larger than this are renamed away before they are deleted, as that takes long and would keep others
/// from the table.
const LARGE: u64 = 1 << 20;
/// Directories for temporary files: threads that write at once had better not do so in the same.
const TEMPORARY_DIRECTORIES: usize = 16;

/// The files and their index.
pub(super) struct Files {
    pub directory: PathBuf,
    pub root: OwnedFd,
    pub index: Index,
    pub clock: Clock,
    pub watch: Watch,
    /// The umask would take something from the modes we want.
    pub umask_interferes: bool,
    next_temporary: AtomicU64,
    /// Large files, and what others left, to be deleted by whoever is not in a hurry.
    graves: Mutex<Vec<String>>,
    pub proofs: Proofs,
    pub quarantine: Quarantine,
}

/// A file that is being written. Dropped unpublished, it is removed.
#[derive(Debug)]
pub(super) struct Temporary<F: Deref<Target = Files>> {
    files: F,
    name: String,
    pub file: File,
    published: bool,
}

impl Files {
    /// Of a directory that is ours and has a clean [`TEMPORARY`].
    pub fn new(settings: &StoreSettings, directory: PathBuf, root: OwnedFd) -> Result<Self, StoreError> {
        for number in 0..TEMPORARY_DIRECTORIES {
            make_directories(&root, &format!("{TEMPORARY}/{number:x}"))
                .map_err(|error| io("make a directory for temporary files", error))?;
        }
        let quarantine = Quarantine::open(&root, settings.max_bytes);
        let mut files = Self {
            watch: Watch::new(),
            directory,
            root,
            index: Index::new(),
            clock: Clock::default(),
            umask_interferes: false,
            next_temporary: AtomicU64::new(0),
            graves: Mutex::default(),
            proofs: Proofs::new(settings.reverify),
            quarantine,
        };
        let probe = Temporary::new(&files)?;
        let mode = rustix::fs::fstat(&probe.file).map_err(|error| io("look at a new file", error))?.st_mode;
        drop(probe);
        files.umask_interferes = Mode::from_raw_mode(mode) != PLAIN;
        Ok(files)
    }

    /// The table with `key`, to look that up.
    pub fn table(&self, key: &Key) -> Result<RwLockReadGuard<'_, Table>, StoreError> {
        self.index.read_for(key, || self.look(key))
    }

    /// The table with `key`, to change that and its files.
    pub fn table_mut(&self, key: &Key) -> Result<TableMut<'_>, StoreError> {
        self.index.write_for(key, || self.look(key))
    }

    /// The table of a whole directory.
    pub fn list(&self, shard: Shard) -> Result<RwLockReadGuard<'_, Table>, StoreError> {
        self.index.read(shard, || self.entries(shard))
    }

    /// Whether the blob is there; counts as a use of it.
    pub fn has(&self, digest: &Digest, now: u32) -> Result<bool, StoreError> {
        Ok(self.presence(digest, now)? != Presence::Missing)
    }

    /// Opens the file of a blob that is not empty, once its bytes are proven.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, StoreError> {
        match self.presence(digest, self.clock.now())? {
            Presence::Sound => {}
            Presence::Doubtful => self.prove(digest)?,
            Presence::Missing => {
                self.settle_size(digest)?;
                return Err(StoreError::NotFound(*digest));
            }
        }
        self.open_blob_file(digest)
    }

    /// Opens the file of a blob that the index has. If there is something that is none, it goes.
    pub fn open_blob_file(&self, digest: &Digest) -> Result<File, StoreError> {
        let key = Key::blob(digest);
        match self.open(&key) {
            Ok(file) => return Ok(file),
            Err(Errno::NOENT) => self.drop_if_gone(&key)?,
            Err(error) if is_damage(error) => {
                self.condemn(&key, &format!("it cannot be opened: {error}"), |_| true)?;
            }
            Err(error) => return Err(io(&format!("open blob {digest}"), error)),
        }
        Err(StoreError::NotFound(*digest))
    }

    /// Opens the file of `key` for reading. Somebody may have put a FIFO there, which nobody must wait for.
    pub fn open(&self, key: &Key) -> Result<File, Errno> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        openat(&self.root, key.name().as_c_str(), flags, Mode::empty()).map(File::from)
    }

    /// Forgets a file that somebody else removed.
    pub fn drop_if_gone(&self, key: &Key) -> Result<(), StoreError> {
        let mut table = self.table_mut(key)?;
        if table.get(&key.hash).is_some()
            && let Err(Errno::NOENT) = statat(&self.root, key.name().as_c_str(), AtFlags::SYMLINK_NOFOLLOW)
        {
            table.remove(&key.hash);
            tracing::debug!(file = key.name().as_str(), "a file of the store was removed by others");
        }
        Ok(())
    }

    /// Deletes the files of an entry that has just been taken from its table, which is still locked. What is
    /// large is renamed away, for [`Files::bury`] to delete.
    pub fn delete(&self, key: &Key, entry: &Entry) -> Result<(), Errno> {
        if entry.has_variant() {
            unlink(&self.root, key.variant().as_c_str())?;
        }
        if entry.size() > LARGE {
            let grave = self.temporary_name();
            match renameat(&self.root, key.name().as_c_str(), &self.root, grave.as_str()) {
                Ok(()) => {
                    self.graves.lock().push(grave);
                    return Ok(());
                }
                Err(Errno::NOENT) => return Ok(()),
                Err(_) => {}
            }
        }
        unlink(&self.root, key.name().as_c_str())
    }

    /// Gives a written file its place, unless what the table has is as good; `entry` describes it.
    pub fn publish<F: Deref<Target = Self>>(
        &self,
        mut temporary: Temporary<F>,
        key: &Key,
        entry: Entry,
        also: impl FnOnce(),
    ) -> Result<(), StoreError> {
        let mut table = self.table_mut(key)?;
        if key.kind == Kind::Blob
            && let Some(found) = table.get(&key.hash)
            && found.size() == entry.size()
            && self.proofs.is_fresh(found, entry.last_use())
        {
            found.touch(entry.last_use());
            return Ok(());
        }
        self.put_in_place(&temporary.name, key)
            .map_err(|error| io(&format!("store {}", key.name().as_str()), error))?;
        temporary.published = true;
        self.drop_variant(&mut table, key);
        table.insert(entry);
        also();
        Ok(())
    }

    /// Replaces the inode of a blob by a copy that nobody links to; the table must be locked.
    pub fn replace<F: Deref<Target = Self>>(
        &self,
        mut temporary: Temporary<F>,
        key: &Key,
    ) -> Result<(), Errno> {
        self.put_in_place(&temporary.name, key)?;
        temporary.published = true;
        Ok(())
    }

    /// Renames a temporary file to the variant of a blob.
    pub fn put_variant<F: Deref<Target = Self>>(
        &self,
        mut temporary: Temporary<F>,
        key: &Key,
    ) -> Result<(), Errno> {
        self.rename_into(&temporary.name, &key.variant())?;
        temporary.published = true;
        Ok(())
    }

    /// Renames a file with a path of its own to the place of `key`; the table must be locked.
    pub fn move_in(&self, file: &std::path::Path, key: &Key) -> Result<(), Errno> {
        let name = key.name();
        match renameat(CWD, file, &self.root, name.as_c_str()) {
            Err(Errno::NOENT) if statat(CWD, file, AtFlags::SYMLINK_NOFOLLOW).is_ok() => {
                self.make_shard(key.shard())?;
                renameat(CWD, file, &self.root, name.as_c_str())
            }
            Err(Errno::ISDIR) => {
                self.set_aside(key)?;
                renameat(CWD, file, &self.root, name.as_c_str())
            }
            other => other,
        }
    }

    fn put_in_place(&self, temporary: &str, key: &Key) -> Result<(), Errno> {
        let name = key.name();
        match renameat(&self.root, temporary, &self.root, name.as_c_str()) {
            Err(Errno::NOENT) => {
                self.make_shard(key.shard())?;
                renameat(&self.root, temporary, &self.root, name.as_c_str())
            }
            Err(Errno::ISDIR) => {
                self.set_aside(key)?;
                renameat(&self.root, temporary, &self.root, name.as_c_str())
            }
            other => other,
        }
    }

    /// Moves what is no file, and nothing of ours, from the place of `key`, for [`Files::bury`] to delete.
    pub fn set_aside(&self, key: &Key) -> Result<(), Errno> {
        let name = key.name();
        let aside = sweep::set_aside_one(&self.directory, &name.below(&self.directory));
        let grave = aside.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        tracing::warn!(
            file = name.as_str(),
            "moved something that is no file out of the way of one of the store"
        );
        self.graves.lock().push(grave);
        Ok(())
    }

    fn rename_into(&self, temporary: &str, name: &Name) -> Result<(), Errno> {
        match renameat(&self.root, temporary, &self.root, name.as_c_str()) {
            Err(Errno::NOENT) => {
                make_directories(&self.root, name.parent())?;
                renameat(&self.root, temporary, &self.root, name.as_c_str())
            }
            other => other,
        }
    }

    fn make_shard(&self, shard: Shard) -> Result<(), Errno> {
        let name = shard.name();
        make_directories(&self.root, name.as_str())?;
        self.watch.add(&name.below(&self.directory), shard);
        Ok(())
    }

    /// What lies in a directory of the layout. Files that are none of ours are left alone.
    fn entries(&self, shard: Shard) -> Result<Vec<Entry>, StoreError> {
        let name = shard.name();
        let failed = |error| io(&format!("list {}", name.as_str()), error);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = match openat(&self.root, name.as_c_str(), flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        // First, so that nothing can be removed unseen in between.
        self.watch.add(&name.below(&self.directory), shard);
        let mut entries = Vec::new();
        let mut buffer = [MaybeUninit::<u8>::uninit(); 32 << 10];
        let mut listing = RawDir::new(&directory, &mut buffer);
        while let Some(found) = listing.next() {
            let found = found.map_err(failed)?;
            let Some(key) = shard.key(found.file_name().to_bytes()) else { continue };
            match statat(&directory, found.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(status) => entries.extend(self.entry_of(&key, &status)),
                Err(Errno::NOENT) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(entries)
    }

    /// What the file of `key` is, if there is one.
    fn look(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        match statat(&self.root, key.name().as_c_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => Ok(self.entry_of(key, &status)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(io(&format!("look at {}", key.name().as_str()), error)),
        }
    }

    /// Empty files are removed: a file system that lost its power leaves such.
    fn entry_of(&self, key: &Key, status: &rustix::fs::Stat) -> Option<Entry> {
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return None;
        }
        let size = u64::try_from(status.st_size).unwrap_or(0);
        if size == 0 && !is_empty_blob(key) {
            tracing::warn!(file = key.name().as_str(), "removed an empty file of the store");
            let _ = unlink(&self.root, key.name().as_c_str());
            return None;
        }
        let (used, is_certain) = self.last_use(status);
        let mut entry = Entry::new(key.hash, size, used);
        entry.set_inode(inode_of(status));
        if !is_certain {
            // Whatever comes of it, the file does not say so.
            entry.set_recorded_use(0);
        }
        Some(entry)
    }

    /// When a file was last used according to its times, and whether they tell. A time that is yet to come tells nothing:
    /// somebody has set it, or set a clock back. The other one has to do, and without that the file counts as used now, so
    /// that whoever was told of it a moment ago, by the clock of that time, finds it; from then on it grows older as all do.
    fn last_use(&self, status: &rustix::fs::Stat) -> (u32, bool) {
        let times = [status.st_mtime, status.st_atime].map(|seconds| self.clock.of_file(seconds));
        let used = times.into_iter().flatten().max();
        (used.unwrap_or_else(|| self.clock.now()), times.iter().all(Option::is_some))
    }

    /// Deletes large files that were renamed away.
    pub fn bury(&self) {
        let graves = std::mem::take(&mut *self.graves.lock());
        for grave in graves {
            if let Err(error) = remove(self.directory.join(&grave)) {
                tracing::warn!(%error, "cannot delete what is no longer of the store");
            }
        }
    }

    fn temporary_name(&self) -> String {
        let number = self.next_temporary.fetch_add(1, Relaxed);
        format!("{TEMPORARY}/{:x}/{number:x}", thread_number() % TEMPORARY_DIRECTORIES)
    }
}

pub(super) const PLAIN: Mode = Mode::from_raw_mode(0o444);
pub(super) const EXECUTABLE: Mode = Mode::from_raw_mode(0o555);

impl<F: Deref<Target = Files>> Temporary<F> {
    /// A new file with mode 0444, open for writing.
    pub fn new(files: F) -> Result<Self, StoreError> {
        let name = files.temporary_name();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let open = || openat(&files.root, name.as_str(), flags, PLAIN);
        let file = match open() {
            Err(Errno::NOENT) => {
                let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
                make_directories(&files.root, parent).and_then(|()| open())
            }
            other => other,
        };
        let file: File = file.map_err(|error| io("make a temporary file", error))?.into();
        if files.umask_interferes {
            rustix::fs::fchmod(&file, PLAIN).map_err(|error| io("set the mode of a file", error))?;
        }
        Ok(Self { files, name, file, published: false })
    }

    pub fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)
    }
}

impl<F: Deref<Target = Files>> Drop for Temporary<F> {
    fn drop(&mut self) {
        if !self.published {
            let _ = unlinkat(&self.files.root, self.name.as_str(), AtFlags::empty());
        }
    }
}

impl std::fmt::Debug for Files {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Files").field("directory", &self.directory).finish_non_exhaustive()
    }
}

fn is_empty_blob(key: &Key) -> bool {
    key.kind == Kind::Blob && key.hash == Digest::empty(key.function).hash
}

fn inode_of(status: &rustix::fs::Stat) -> Inode {
    if status.st_nlink == 1 {
        return Inode::Free;
    }
    match Mode::from_raw_mode(status.st_mode) {
        PLAIN => Inode::Plain,
        EXECUTABLE => Inode::Executable,
        _ => Inode::Foreign,
    }
}

/// The digest of all that is left in `file`.
pub(super) fn hash_of(file: &mut impl Read, mut hasher: Hasher) -> Result<Digest, StoreError> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => return Err(StoreError::Io { doing: "read a file of the store".into(), source }),
        }
    }
}

/// A small number for each thread.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static NUMBER: usize = NEXT.fetch_add(1, Relaxed));
    NUMBER.with(|number| *number)
}

pub(super) fn io(doing: &str, error: impl Into<std::io::Error>) -> StoreError {
    StoreError::Io { doing: doing.to_owned(), source: error.into() }
}
