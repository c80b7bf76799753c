//! What is in the store, in memory: sizes, last uses, pins. One table for each directory of the layout. Until a
//! directory has been listed, its table holds what was asked for. Knows nothing of eviction or of files.
//!
//! Whoever changes a file of the store holds the write lock of its table meanwhile, so tables and files agree at
//! any time but for what others do behind our back.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use hashbrown::HashTable;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::layout::{Key, Kind, Shard};

/// The unit in which disks are counted: what file systems give to a file comes in blocks of this size.
const BLOCK: u64 = 4096;

/// The disk space of a file of `size` bytes.
pub(super) fn space_of(size: u64) -> u64 {
    size.div_ceil(BLOCK).saturating_mul(BLOCK)
}

/// What is known of the inode of a blob, whose mode all hard links share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inode {
    /// Ours alone: its mode may still be chosen.
    Free,
    /// Others link to it as 0444.
    Plain,
    /// Others link to it as 0555.
    Executable,
    /// Others link to it, with a mode that is no good.
    Foreign,
}

/// A file of the store. 56 bytes, since there may be millions.
#[derive(Debug)]
pub(super) struct Entry {
    hash: [u8; 32],
    /// Size in bytes, and flags in the uppermost byte.
    packed: u64,
    /// Seconds since 1970.
    last_use: AtomicU32,
    /// The last use according to the times of the file.
    recorded_use: AtomicU32,
    /// When its bytes were last seen to be those of its name; 0 if this process has not seen them.
    proven_at: u32,
    /// What its time of modification was then; 0 if nobody has looked.
    stamp: AtomicU32,
}

const SIZE: u64 = (1 << 56) - 1;
const INODE_SHIFT: u32 = 56;
const INODE: u64 = 3 << INODE_SHIFT;
const VARIANT: u64 = 1 << 58;

impl Entry {
    pub fn new(hash: [u8; 32], size: u64, last_use: u32) -> Self {
        let (last_use, recorded_use) = (AtomicU32::new(last_use), AtomicU32::new(last_use));
        let stamp = AtomicU32::new(0);
        Self { hash, packed: size & SIZE, last_use, recorded_use, proven_at: 0, stamp }
    }

    pub fn hash(&self) -> [u8; 32] {
        self.hash
    }

    pub fn size(&self) -> u64 {
        self.packed & SIZE
    }

    /// Disk space it takes, second inode included.
    pub fn space(&self) -> u64 {
        space_of(self.size()) * if self.has_variant() { 2 } else { 1 }
    }

    pub fn last_use(&self) -> u32 {
        self.last_use.load(Relaxed)
    }

    pub fn touch(&self, now: u32) {
        if self.last_use() < now {
            self.last_use.store(now, Relaxed);
        }
    }

    /// The last use as the file has it.
    pub fn recorded_use(&self) -> u32 {
        self.recorded_use.load(Relaxed)
    }

    pub fn set_recorded_use(&self, time: u32) {
        self.recorded_use.store(time, Relaxed);
    }

    pub fn inode(&self) -> Inode {
        match (self.packed & INODE) >> INODE_SHIFT {
            0 => Inode::Free,
            1 => Inode::Plain,
            2 => Inode::Executable,
            _ => Inode::Foreign,
        }
    }

    pub fn set_inode(&mut self, inode: Inode) {
        let bits = match inode {
            Inode::Free => 0,
            Inode::Plain => 1,
            Inode::Executable => 2,
            Inode::Foreign => 3,
        };
        self.packed = self.packed & !INODE | bits << INODE_SHIFT;
    }

    /// When the file was last hashed by this process; 0 if it never was.
    pub fn proven_at(&self) -> u32 {
        self.proven_at
    }

    /// Its bytes are those of its name. What the file looks like is noted when somebody looks.
    pub fn set_proven(&mut self, now: u32) {
        self.proven_at = now.max(1);
        self.set_stamp(0);
    }

    /// Whether its bytes are those of its name is not known any more.
    pub fn doubt(&mut self) {
        self.proven_at = 0;
    }

    pub fn stamp(&self) -> u32 {
        self.stamp.load(Relaxed)
    }

    pub fn set_stamp(&self, stamp: u32) {
        self.stamp.store(stamp, Relaxed);
    }

    /// Whether there is a second inode, with the other mode.
    pub fn has_variant(&self) -> bool {
        self.packed & VARIANT != 0
    }
}

/// The table of one directory.
#[derive(Debug, Default)]
pub(super) struct Table {
    loaded: bool,
    entries: HashTable<Entry>,
    /// How often each is pinned. Apart from the entries, so that a pin outlives a file that vanishes and returns.
    pins: HashMap<[u8; 32], u32>,
}

impl Table {
    pub fn get(&self, hash: &[u8; 32]) -> Option<&Entry> {
        self.entries.find(spread(hash), |entry| entry.hash == *hash)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub fn is_pinned(&self, hash: &[u8; 32]) -> bool {
        !self.pins.is_empty() && self.pins.contains_key(hash)
    }
}

/// Hashes are as good as random: any 8 bytes but those that chose the table will do.
fn spread(hash: &[u8; 32]) -> u64 {
    u64::from_le_bytes(hash[8..16].try_into().expect("it is 8 bytes"))
}

/// One table to a cache line or two, as threads are at different ones.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Slot(RwLock<Table>);

/// How much there is of a kind.
#[derive(Debug, Default)]
pub(super) struct Total {
    pub files: AtomicU64,
    pub bytes: AtomicU64,
    pub space: AtomicU64,
}

/// All tables.
#[derive(Debug)]
pub(super) struct Index {
    slots: Box<[Slot]>,
    blobs: Total,
    results: Total,
}

/// A table that may be changed; keeps the totals right.
pub(super) struct TableMut<'a> {
    table: RwLockWriteGuard<'a, Table>,
    total: &'a Total,
}

impl Index {
    pub fn new() -> Self {
        let slots = (0..Shard::COUNT).map(|_| Slot::default()).collect();
        Self { slots, blobs: Total::default(), results: Total::default() }
    }

    pub fn total(&self, kind: Kind) -> &Total {
        match kind {
            Kind::Blob => &self.blobs,
            Kind::Result => &self.results,
        }
    }

    /// Disk space of all files known so far.
    pub fn space(&self) -> u64 {
        self.blobs.space.load(Relaxed) + self.results.space.load(Relaxed)
    }

    /// What is known of `shard` so far.
    pub fn peek(&self, shard: Shard) -> RwLockReadGuard<'_, Table> {
        self.slots[shard.number()].0.read()
    }

    /// The table of `shard` with all of its directory; `list` is asked for that if it is not known yet.
    pub fn read<E>(
        &self,
        shard: Shard,
        list: impl FnOnce() -> Result<Vec<Entry>, E>,
    ) -> Result<RwLockReadGuard<'_, Table>, E> {
        let table = self.peek(shard);
        if table.loaded {
            return Ok(table);
        }
        drop(table);
        let mut table = self.lock(shard);
        if !table.table.loaded {
            let listed = list()?;
            table.retain(&listed);
            for entry in listed {
                // What is known is known better.
                if table.get(&entry.hash).is_none() {
                    table.insert(entry);
                }
            }
            table.table.loaded = true;
        }
        Ok(RwLockWriteGuard::downgrade(table.table))
    }

    /// The table with `key`, with that entry if there is one: `look` is asked if that is not known yet.
    pub fn read_for<E>(
        &self,
        key: &Key,
        look: impl FnOnce() -> Result<Option<Entry>, E>,
    ) -> Result<RwLockReadGuard<'_, Table>, E> {
        let table = self.peek(key.shard());
        if table.loaded || table.get(&key.hash).is_some() {
            return Ok(table);
        }
        drop(table);
        let table = self.write_for(key, look)?;
        Ok(RwLockWriteGuard::downgrade(table.table))
    }

    /// As [`Index::read_for`], to change something.
    pub fn write_for<E>(
        &self,
        key: &Key,
        look: impl FnOnce() -> Result<Option<Entry>, E>,
    ) -> Result<TableMut<'_>, E> {
        let mut table = self.lock(key.shard());
        if !table.loaded
            && table.get(&key.hash).is_none()
            && let Some(entry) = look()?
        {
            table.insert(entry);
        }
        Ok(table)
    }

    /// Forgets what is known of a directory, so that it is listed again. Pins stay.
    pub fn forget(&self, shard: Shard) {
        let mut table = self.lock(shard);
        let entries = std::mem::take(&mut table.table.entries);
        entries.iter().for_each(|entry| table.subtract(entry));
        table.table.loaded = false;
    }

    pub fn is_loaded(&self, shard: Shard) -> bool {
        self.slots[shard.number()].0.read().loaded
    }

    fn lock(&self, shard: Shard) -> TableMut<'_> {
        TableMut { table: self.slots[shard.number()].0.write(), total: self.total(shard.kind) }
    }
}

impl TableMut<'_> {
    /// Adds an entry in place of the one with the same hash.
    pub fn insert(&mut self, entry: Entry) {
        self.remove(&entry.hash);
        self.total.files.fetch_add(1, Relaxed);
        self.total.bytes.fetch_add(entry.size(), Relaxed);
        self.total.space.fetch_add(entry.space(), Relaxed);
        self.table.entries.insert_unique(spread(&entry.hash), entry, |entry| spread(&entry.hash));
    }

    pub fn remove(&mut self, hash: &[u8; 32]) -> Option<Entry> {
        let found = self.table.entries.find_entry(spread(hash), |entry| entry.hash == *hash).ok()?;
        let (entry, _) = found.remove();
        self.subtract(&entry);
        Some(entry)
    }

    /// Forgets what is not `listed`.
    fn retain(&mut self, listed: &[Entry]) {
        if self.table.entries.is_empty() {
            return;
        }
        let listed: HashSet<[u8; 32]> = listed.iter().map(|entry| entry.hash).collect();
        let gone = self.iter().map(|entry| entry.hash).filter(|hash| !listed.contains(hash));
        for hash in gone.collect::<Vec<_>>() {
            self.remove(&hash);
        }
    }

    pub fn get_mut(&mut self, hash: &[u8; 32]) -> Option<&mut Entry> {
        self.table.entries.find_mut(spread(hash), |entry| entry.hash == *hash)
    }

    /// Notes that a blob has a second inode now.
    pub fn set_variant(&mut self, hash: &[u8; 32]) {
        let mut added = 0;
        if let Some(entry) = self.get_mut(hash)
            && !entry.has_variant()
        {
            entry.packed |= VARIANT;
            added = space_of(entry.size());
        }
        self.total.space.fetch_add(added, Relaxed);
    }

    /// Notes that a blob has no second inode any more. `false` if it had none.
    pub fn clear_variant(&mut self, hash: &[u8; 32]) -> bool {
        let Some(entry) = self.get_mut(hash).filter(|entry| entry.has_variant()) else { return false };
        entry.packed &= !VARIANT;
        let space = space_of(entry.size());
        self.total.space.fetch_sub(space, Relaxed);
        true
    }

    pub fn pin(&mut self, hash: [u8; 32]) {
        *self.table.pins.entry(hash).or_default() += 1;
    }

    pub fn unpin(&mut self, hash: &[u8; 32]) {
        if let Some(count) = self.table.pins.get_mut(hash) {
            *count -= 1;
            if *count == 0 {
                self.table.pins.remove(hash);
            }
        }
    }

    fn subtract(&self, entry: &Entry) {
        self.total.files.fetch_sub(1, Relaxed);
        self.total.bytes.fetch_sub(entry.size(), Relaxed);
        self.total.space.fetch_sub(entry.space(), Relaxed);
    }
}

impl std::ops::Deref for TableMut<'_> {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.table
    }
}
