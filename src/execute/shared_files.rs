//! What the executors of all pools share. Knows nothing of how actions run.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::ExecuteError;
use super::input::{InputLimits, InputReader, TreeLimits, TreeUse, Trees};
use super::quota::Disk;
use crate::cancellation::HangUp;
use crate::cas::{BlobStore, DiskStore, FetchingStore, Transfers, Upstream};
use crate::scratch::space::ScratchSpace;

/// Ours alone: what has this name and a lock that nobody holds is removed.
const SCRATCH_PREFIX: &str = "execute-";

/// What the executors of all pools share: the store, the trees made of it, and room for running actions.
#[derive(Debug)]
pub struct SharedFiles {
    pub(super) store: Arc<DiskStore>,
    engine: Option<Engine>,
    pub(super) reader: InputReader,
    pub(super) trees: Trees,
    pub(super) scratch: Arc<ScratchSpace>,
    pub(super) disk: Disk,
    pub(super) staged: StagedEntries,
}

/// Where blobs come from that are not here, and where those go that actions make.
struct Engine {
    upstream: Arc<dyn Upstream>,
    transfers: Transfers,
}

impl fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Engine").field("transfers", &self.transfers).finish_non_exhaustive()
    }
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
        Self::open_with(store, None, inputs, trees)
    }

    /// As [`open`](Self::open), but what is not here is fetched from `upstream`, and what actions make is put there
    /// before they have ended. Actions of all instances share what is here.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with_upstream(
        store: Arc<DiskStore>,
        upstream: Arc<dyn Upstream>,
        inputs: InputLimits,
        trees: TreeLimits,
    ) -> Result<Self, ExecuteError> {
        let engine = Engine { upstream, transfers: Transfers::default() };
        Self::open_with(store, Some(engine), inputs, trees)
    }

    fn open_with(
        store: Arc<DiskStore>,
        engine: Option<Engine>,
        inputs: InputLimits,
        trees: TreeLimits,
    ) -> Result<Self, ExecuteError> {
        let space = |base: &Path| {
            let made = ScratchSpace::create(base, SCRATCH_PREFIX);
            made.map(Arc::new).map_err(ExecuteError::io_at("make room in", base))
        };
        let scratch = space(&store.work_directory())?;
        let trees = Trees::new(Arc::clone(&store), space(&store.trees_directory())?, trees);
        let reader = InputReader::new(inputs);
        let disk = Disk::new(store.work_directory(), Arc::clone(&store));
        Ok(Self { reader, trees, scratch, disk, staged: StagedEntries::default(), engine, store })
    }

    /// The blobs of an instance, as actions of it see them: for [`read_action`](super::read_action), and for reading
    /// commands. What is read comes from the store here, once it is there.
    pub fn blobs(&self, instance_name: &str) -> Arc<dyn BlobStore> {
        self.blobs_until(instance_name, &HangUp::default())
    }

    /// As [`blobs`](Self::blobs), for somebody who may not want to wait any more.
    pub fn blobs_until(&self, instance_name: &str, hang_up: &HangUp) -> Arc<dyn BlobStore> {
        match self.fetching(instance_name, hang_up) {
            None => Arc::clone(&self.store) as _,
            Some(fetching) => Arc::new(fetching),
        }
    }

    /// Where the blobs of an action of an instance come from beside the store, if they do. Ends as soon as nobody waits
    /// for it.
    pub(super) fn fetching(&self, instance_name: &str, hang_up: &HangUp) -> Option<FetchingStore> {
        let Engine { upstream, transfers } = self.engine.as_ref()?;
        let remote = upstream.of_instance_until(instance_name, hang_up);
        let store = FetchingStore::new(self.store.as_ref().clone(), remote, transfers.clone());
        Some(store.until(hang_up.clone()))
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
