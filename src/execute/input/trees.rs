//! The trees there are, which of them to build another one on, and which have to go. Knows nothing of actions.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet, VecDeque};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::difference::{Difference, Step};
use super::directory::{Entry, InputDirectory};
use super::layer;
use super::source::{Source, all_blobs, blobs};
use crate::cas::DiskStore;
use crate::digest::Digest;
use crate::execute::error::ExecuteError;
use crate::scratch::space::ScratchSpace;

/// How much the trees that are kept may hold. Those in use are kept whatever they hold.
#[derive(Debug, Clone, Copy)]
pub struct TreeLimits {
    /// Files, directories and symlinks.
    pub entries: u64,
    /// Bytes of the files, each as often as it is in a layer. This is more than they take on disk, as a link
    /// takes none while the blob is in the store.
    pub bytes: u64,
}

impl Default for TreeLimits {
    fn default() -> Self {
        Self { entries: 2_000_000, bytes: 64 << 30 }
    }
}

impl TreeLimits {
    /// The default, but at most a quarter of what the store may take (`max_bytes`; `None` is no limit): the store cannot
    /// evict what trees alone still link to, so they must not hold more than a part of it.
    pub fn for_store(max_bytes: Option<u64>) -> Self {
        let default = Self::default();
        Self { bytes: max_bytes.map_or(default.bytes, |max| default.bytes.min(max / 4)), ..default }
    }
}

/// What it took to get a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeUse {
    /// It was there.
    Warm,
    /// A layer on top of another tree's had to be made.
    Difference,
    /// All of it had to be made.
    Full,
}

/// An input root on disk. Its files may be the store's own, so nobody may get to write to them.
#[derive(Debug)]
pub struct Tree {
    root: Arc<InputDirectory>,
    layer: PathBuf,
    base: Option<Arc<Tree>>,
    identity: (u64, u64, i64, i64),
    /// What was known of damaged blobs before it was made, and when that was.
    damage_count: u64,
    made_at: Instant,
    _held: Held,
    space: Arc<ScratchSpace>,
}

/// What a layer holds, subtracted from the sums when the layer goes.
#[derive(Debug)]
struct Held {
    entries: u64,
    bytes: u64,
    sums: Arc<Sums>,
}

#[derive(Debug, Default)]
struct Sums {
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl Tree {
    /// Its layers, the topmost first.
    pub fn layers(&self) -> Vec<PathBuf> {
        std::iter::once(self).chain(self.base.as_deref()).map(|tree| tree.layer.clone()).collect()
    }

    /// Whether nobody has touched the top of it, and no blob was found damaged since it was made: its files may be links to
    /// that. Damage of others further below shows only to the action that meets it.
    fn is_intact(&self, store: &DiskStore) -> bool {
        self.damage_count == store.damage_count()
            && identity(&self.layer).is_some_and(|now| now == self.identity)
            && self.base.as_ref().is_none_or(|base| base.is_intact(store))
    }

    /// Whether the blobs that it is made of have to be proven again: they are when it is made anew.
    fn is_old(&self, store: &DiskStore) -> bool {
        store.reverify().is_some_and(|reverify| self.made_at.elapsed() >= reverify)
            || self.base.as_ref().is_some_and(|base| base.is_old(store))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.space.discard(std::mem::take(&mut self.layer));
    }
}

impl Held {
    fn new(entries: u64, bytes: u64, sums: &Arc<Sums>) -> Self {
        sums.entries.fetch_add(entries, Ordering::Relaxed);
        sums.bytes.fetch_add(bytes, Ordering::Relaxed);
        Self { entries, bytes, sums: Arc::clone(sums) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.sums.entries.fetch_sub(self.entries, Ordering::Relaxed);
        self.sums.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Changes whenever an entry of the directory is added, removed or renamed.
fn identity(layer: &Path) -> Option<(u64, u64, i64, i64)> {
    let metadata = fs_err::symlink_metadata(layer).ok()?;
    metadata.is_dir().then(|| (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
}

/// All trees of this process.
#[derive(Debug)]
pub struct Trees {
    store: Arc<DiskStore>,
    space: Arc<ScratchSpace>,
    limits: TreeLimits,
    sums: Arc<Sums>,
    /// In the order of [`TreeUse`].
    uses: [AtomicU64; 3],
    /// Files, directories and symlinks of all layers so far.
    made_entries: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By the digest of the input root.
    slots: HashMap<Digest, Slot>,
    clock: u64,
    /// Which full trees have a directory.
    owners: HashMap<Digest, Vec<Weak<Tree>>>,
    next_cleaning: usize,
    /// Full trees, the latest last.
    latest: VecDeque<Weak<Tree>>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Locked while the tree is being made, so that nobody makes it twice.
    tree: Arc<Mutex<Option<Arc<Tree>>>>,
    used: u64,
}

/// Smaller ones are made as fast as a difference is found.
const SMALLEST_WITH_BASE: u64 = 32;
/// A difference of more than one part in this many is not worth a layer that is looked through for ever.
const LARGEST_DIFFERENCE: u64 = 4;
/// Trees with a directory that are remembered for it.
const OWNERS: usize = 8;
/// Directories that are looked up to find a base.
const MOST_LOOKUPS: usize = 20_000;
/// Trees that are compared in full.
const CANDIDATES: usize = 3;
/// How long who waits for a tree that somebody else makes does not notice that nobody wants it.
const GLANCE: Duration = Duration::from_millis(100);

impl Trees {
    pub fn new(store: Arc<DiskStore>, space: Arc<ScratchSpace>, limits: TreeLimits) -> Self {
        Self {
            store,
            space,
            limits,
            sums: Arc::default(),
            uses: Default::default(),
            made_entries: AtomicU64::new(0),
            state: Mutex::default(),
        }
    }

    /// The tree of an input root, which stays as it is as long as it is held.
    ///
    /// # Errors
    /// [`ExecuteError::MissingInputs`] with all files whose blobs are needed and missing.
    pub fn get(&self, root: &Arc<InputDirectory>, source: &Source<'_>) -> Result<Arc<Tree>, ExecuteError> {
        let (tree, tree_use) = self.find_or_make(root, source)?;
        self.uses[tree_use as usize].fetch_add(1, Ordering::Relaxed);
        Ok(tree)
    }

    /// How trees came about so far.
    pub fn uses(&self) -> [(TreeUse, u64); 3] {
        [TreeUse::Warm, TreeUse::Difference, TreeUse::Full]
            .map(|tree_use| (tree_use, self.uses[tree_use as usize].load(Ordering::Relaxed)))
    }

    /// How many files, directories and symlinks had to be made for trees so far.
    pub fn made_entries(&self) -> u64 {
        self.made_entries.load(Ordering::Relaxed)
    }

    /// Whether there is a tree of `root`, and it is not what it was.
    pub fn is_damaged(&self, root: &InputDirectory) -> bool {
        let slot = self.slot(&root.digest);
        let tree = slot.lock().clone();
        tree.is_some_and(|tree| !tree.is_intact(&self.store))
    }

    fn find_or_make(
        &self,
        root: &Arc<InputDirectory>,
        source: &Source<'_>,
    ) -> Result<(Arc<Tree>, TreeUse), ExecuteError> {
        let slot = self.slot(&root.digest);
        // Whoever makes it may be fetching for long.
        let mut place = loop {
            if let Some(place) = slot.try_lock_for(GLANCE) {
                break place;
            }
            source.check_cancelled()?;
        };
        if let Some(tree) = place.as_ref() {
            let is_old = tree.is_old(&self.store);
            if !is_old && tree.is_intact(&self.store) {
                return Ok((Arc::clone(tree), TreeUse::Warm));
            }
            if !is_old {
                tracing::warn!(
                    "the input tree {:?} was changed, or a blob was, and is made again",
                    tree.layer
                );
            }
            self.forget_damaged(tree);
        }
        *place = None;
        let made = self.make(root, source);
        if let Ok((tree, tree_use)) = &made {
            *place = Some(Arc::clone(tree));
            if *tree_use == TreeUse::Full {
                self.register(tree);
            }
        }
        drop(place);
        if made.is_err() {
            let mut state = self.state.lock();
            // Unless others wait to make it in ours: the table has it, and we.
            if Arc::strong_count(&slot) <= 2 {
                state.slots.remove(&root.digest);
            }
        }
        self.evict();
        made
    }

    fn slot(&self, digest: &Digest) -> Arc<Mutex<Option<Arc<Tree>>>> {
        let mut state = self.state.lock();
        state.clock += 1;
        let now = state.clock;
        let slot = state.slots.entry(*digest).or_default();
        slot.used = now;
        Arc::clone(&slot.tree)
    }

    /// Nothing is built on a damaged tree any more. Others that are will find out.
    fn forget_damaged(&self, tree: &Arc<Tree>) {
        let base = tree.base.as_ref().unwrap_or(tree);
        let mut state = self.state.lock();
        let forget = |trees: &mut Vec<Weak<Tree>>| {
            trees.retain(|owner| !std::ptr::eq(owner.as_ptr(), Arc::as_ptr(base)))
        };
        state.owners.values_mut().for_each(forget);
        state.latest.retain(|owner| !std::ptr::eq(owner.as_ptr(), Arc::as_ptr(base)));
    }

    fn make(
        &self,
        root: &Arc<InputDirectory>,
        source: &Source<'_>,
    ) -> Result<(Arc<Tree>, TreeUse), ExecuteError> {
        if let Some((base, difference)) = self.choose_base(root) {
            let mut needed = Vec::new();
            for (path, step) in &difference.steps {
                if let Step::Put(entry) = step {
                    blobs(entry, path, &mut needed);
                }
            }
            let bytes = needed.iter().map(|(digest, _)| digest.size_bytes).fold(0, u64::saturating_add);
            let size = (difference.cost, bytes);
            let pins = source.pin(&needed)?;
            let made = self.make_layer(root, size, Some(Arc::clone(&base)), |place| {
                layer::write_difference(&self.store, &difference, place)
            });
            drop(pins);
            let tree = made.map_err(|error| source.explain(error, &needed));
            match tree {
                Ok(tree) => return Ok((tree, TreeUse::Difference)),
                Err(missing @ ExecuteError::MissingInputs(_)) => return Err(missing),
                // A file system that knows no whiteouts, perhaps.
                Err(error) => tracing::debug!("cannot put a layer on {:?}: {error}", base.layer),
            }
        }
        let needed = all_blobs(root);
        // Each directory takes a block of the disk, whatever is in it.
        let size = (
            root.totals.entries,
            root.totals.directories.saturating_mul(4096).saturating_add(root.totals.bytes),
        );
        let pins = source.pin(&needed)?;
        let made = self.make_layer(root, size, None, |place| layer::write_full(&self.store, root, place));
        drop(pins);
        Ok((made.map_err(|error| source.explain(error, &needed))?, TreeUse::Full))
    }

    /// Of blobs that are pinned.
    fn make_layer(
        &self,
        root: &Arc<InputDirectory>,
        (entries, bytes): (u64, u64),
        base: Option<Arc<Tree>>,
        write: impl FnOnce(&Path) -> Result<(), ExecuteError>,
    ) -> Result<Arc<Tree>, ExecuteError> {
        let (damage_count, made_at) = (self.store.damage_count(), Instant::now());
        // Until the blobs were pinned, sizes were what a client says: no tree goes for those.
        let held = Held::new(entries, bytes, &self.sums);
        let unfinished = self.space.new_path();
        let layer = self.space.new_path();
        let made = write(&unfinished).and_then(|()| {
            fs_err::rename(&unfinished, &layer).map_err(ExecuteError::io("put an input tree in its place"))
        });
        if let Err(error) = made {
            self.space.discard(unfinished);
            return Err(error);
        }
        let identity = identity(&layer).ok_or_else(|| {
            let gone = std::io::Error::from(std::io::ErrorKind::NotFound);
            ExecuteError::io_at("look at the input tree", &layer)(gone)
        })?;
        self.made_entries.fetch_add(entries, Ordering::Relaxed);
        let (root, space) = (Arc::clone(root), Arc::clone(&self.space));
        Ok(Arc::new(Tree { root, layer, base, identity, damage_count, made_at, _held: held, space }))
    }

    /// The full tree that differs least from `root`, unless that is too much.
    fn choose_base<'a>(&self, root: &'a InputDirectory) -> Option<(Arc<Tree>, Difference<'a>)> {
        if root.totals.entries < SMALLEST_WITH_BASE {
            return None;
        }
        let mut best: Option<(Arc<Tree>, Difference<'a>)> = None;
        for candidate in self.candidates(root) {
            let budget =
                best.as_ref().map_or(root.totals.entries / LARGEST_DIFFERENCE, |(_, best)| best.cost - 1);
            if let Some(difference) = Difference::between(&candidate.root, root, budget)
                && candidate.is_intact(&self.store)
                && !candidate.is_old(&self.store)
            {
                best = Some((candidate, difference));
            }
        }
        if let Some((base, _)) = &best {
            // As long as others are built on it, it is in use.
            self.slot(&base.root.digest);
        }
        best
    }

    /// Those full trees that have most of the directories of `root`, wherever they have them, and the latest.
    fn candidates(&self, root: &InputDirectory) -> Vec<Arc<Tree>> {
        let mut scores: HashMap<*const Tree, (u64, Arc<Tree>)> = HashMap::new();
        let state = self.state.lock();
        let mut lookups = 0;
        let mut to_look_up: Vec<&InputDirectory> = vec![root];
        while let Some(directory) = to_look_up.pop() {
            lookups += 1;
            if lookups > MOST_LOOKUPS {
                break;
            }
            let owners: Vec<_> =
                state.owners.get(&directory.digest).into_iter().flatten().filter_map(Weak::upgrade).collect();
            if owners.is_empty() {
                to_look_up.extend(directory.entries.iter().filter_map(|(_, entry)| match entry {
                    Entry::Directory(child) => Some(&**child),
                    Entry::File(_) | Entry::Symlink(_) => None,
                }));
            }
            for owner in owners {
                let score = scores.entry(Arc::as_ptr(&owner)).or_insert((0, owner));
                score.0 = score.0.saturating_add(directory.totals.entries);
            }
        }
        let mut scored: Vec<(u64, Arc<Tree>)> = scores.into_values().collect();
        scored.sort_by_key(|(score, _)| Reverse(*score));
        let mut candidates: Vec<Arc<Tree>> =
            scored.into_iter().take(CANDIDATES).map(|(_, tree)| tree).collect();
        // One without subdirectories has nothing in common that could be looked up.
        for latest in state.latest.iter().rev().filter_map(Weak::upgrade) {
            if !candidates.iter().any(|candidate| Arc::ptr_eq(candidate, &latest)) {
                candidates.push(latest);
            }
        }
        candidates
    }

    fn register(&self, tree: &Arc<Tree>) {
        let mut state = self.state.lock();
        if state.owners.len() >= state.next_cleaning {
            state.owners.retain(|_, owners| {
                owners.retain(|owner| owner.strong_count() > 0);
                !owners.is_empty()
            });
            state.next_cleaning = (state.owners.len() * 2).max(4096);
        }
        let mut seen = HashSet::new();
        let mut directories: Vec<&InputDirectory> = vec![&tree.root];
        while let Some(directory) = directories.pop() {
            if !seen.insert(directory.digest) {
                continue;
            }
            let owners = state.owners.entry(directory.digest).or_default();
            owners.retain(|owner| owner.strong_count() > 0);
            if owners.len() == OWNERS {
                owners.remove(0);
            }
            owners.push(Arc::downgrade(tree));
            directories.extend(directory.entries.iter().filter_map(|(_, entry)| match entry {
                Entry::Directory(child) => Some(&**child),
                Entry::File(_) | Entry::Symlink(_) => None,
            }));
        }
        if state.latest.len() == CANDIDATES {
            state.latest.pop_front();
        }
        state.latest.push_back(Arc::downgrade(tree));
    }

    /// Forgets trees that nobody uses until the rest is within the limits, and some more, so as not to do this
    /// every time.
    fn evict(&self) {
        let above = |part: u64| {
            self.sums.entries.load(Ordering::Relaxed) > self.limits.entries / 10 * part
                || self.sums.bytes.load(Ordering::Relaxed) > self.limits.bytes / 10 * part
        };
        if !above(10) {
            return;
        }
        let mut state = self.state.lock();
        let mut by_age: Vec<(u64, Digest)> =
            state.slots.iter().map(|(digest, slot)| (slot.used, *digest)).collect();
        by_age.sort_unstable();
        // The second time round, those are free that the first evictions were built on.
        for (_, digest) in by_age.iter().chain(&by_age) {
            if !above(9) {
                break;
            }
            let Some(slot) = state.slots.get(digest) else { continue };
            let unused = slot
                .tree
                .try_lock()
                .is_some_and(|tree| tree.as_ref().is_some_and(|tree| Arc::strong_count(tree) == 1));
            if unused {
                state.slots.remove(digest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_hold_a_quarter_of_the_store_at_most() {
        let bytes = |max_bytes| TreeLimits::for_store(max_bytes).bytes;
        assert_eq!(bytes(Some(8 << 30)), 2 << 30);
        assert_eq!(bytes(Some(1 << 40)), TreeLimits::default().bytes);
        assert_eq!(bytes(Some(0)), 0);
        assert_eq!(bytes(None), TreeLimits::default().bytes);
    }
}
