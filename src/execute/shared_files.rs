//! What the executors of all pools share. Knows nothing of how actions run.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::ExecuteError;
use super::input::{InputLimits, InputReader, TreeLimits, TreeUse, Trees};
use super::quota::Disk;
use crate::cas::DiskStore;
use crate::scratch::space::ScratchSpace;

/// Ours alone: what has this name and a lock that nobody holds is removed.
const SCRATCH_PREFIX: &str = "execute-";

/// What the executors of all pools share: the store, the trees made of it, and room for running actions.
#[derive(Debug)]
pub struct SharedFiles {
    pub(super) store: Arc<DiskStore>,
    pub(super) reader: InputReader,
    pub(super) trees: Trees,
    pub(super) scratch: Arc<ScratchSpace>,
    pub(super) disk: Disk,
    pub(super) staged: StagedEntries,
}

/// What the input roots of all actions so far held, and what of it had to be copied. Trees count what they make.
#[derive(Debug, Default)]
pub(super) struct StagedEntries {
    pub total: AtomicU64,
    pub copied: AtomicU64,
}

/// Files, directories and symlinks in the input roots of all actions so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputEntries {
    /// Of each action that was given its input root, all of them.
    pub total: u64,
    /// Those that had to be linked, copied or created for that. The others were there.
    pub made: u64,
}

impl SharedFiles {
    /// Makes room beside the store's blobs, and has removed what a crashed process left there.
    ///
    /// # Errors
    /// [`ExecuteError::Io`] if files cannot be made there.
    pub fn open(store: Arc<DiskStore>, inputs: InputLimits, trees: TreeLimits) -> Result<Self, ExecuteError> {
        let space = |base: &Path| {
            let made = ScratchSpace::create(base, SCRATCH_PREFIX);
            made.map(Arc::new).map_err(ExecuteError::io_at("make room in", base))
        };
        let scratch = space(&store.work_directory())?;
        let trees = Trees::new(Arc::clone(&store), space(&store.trees_directory())?, trees);
        let reader = InputReader::new(Arc::clone(&store), inputs);
        let disk = Disk::new(store.work_directory(), Arc::clone(&store));
        Ok(Self { reader, trees, scratch, disk, staged: StagedEntries::default(), store })
    }

    /// How input roots came about so far: those that were there, those put on top of others, those made in full.
    pub fn tree_uses(&self) -> [(TreeUse, u64); 3] {
        self.trees.uses()
    }

    /// How much there was to stage so far, and how much of it was not there already.
    pub fn input_entries(&self) -> InputEntries {
        InputEntries {
            total: self.staged.total.load(Ordering::Relaxed),
            made: self.trees.made_entries() + self.staged.copied.load(Ordering::Relaxed),
        }
    }
}
