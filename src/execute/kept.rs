//! What an action has made: kept in the store until the engine has it, if it is for one. Knows nothing of what it is.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::cas::{DiskStore, FetchingStore, Pins, StoreError};
use crate::digest::Digest;

/// The blobs that one action has made so far.
pub(super) struct Kept {
    store: Arc<DiskStore>,
    engine: Option<(FetchingStore, Mutex<Kepts>)>,
}

#[derive(Default)]
struct Kepts {
    digests: Vec<Digest>,
    pins: Option<Pins>,
}

impl Kept {
    /// Of an action whose outputs belong into `store`, and through `engine` to an engine.
    pub fn new(store: &Arc<DiskStore>, engine: Option<FetchingStore>) -> Self {
        Self { store: Arc::clone(store), engine: engine.map(|engine| (engine, Mutex::default())) }
    }

    /// Where it is put.
    pub fn store(&self) -> &DiskStore {
        &self.store
    }

    /// Whether somebody gets it who sees nothing of the store.
    pub fn is_for_engine(&self) -> bool {
        self.engine.is_some()
    }

    /// A blob that has just been stored. For clients of the store, it is kept as whatever was just used.
    ///
    /// # Errors
    /// If it is gone by now.
    pub fn keep(&self, digest: &Digest) -> Result<(), StoreError> {
        let Some((_, kept)) = &self.engine else { return Ok(()) };
        let pins = self.store.pin(&[*digest]).map_err(|_| StoreError::NoRoom {
            digest: *digest,
            reason: "the store evicts what an action has just made; give it more room (max-bytes)".to_owned(),
            passes: true,
        })?;
        let mut kept = kept.lock();
        kept.digests.push(*digest);
        match &mut kept.pins {
            Some(all) => all.join(pins),
            none => *none = Some(pins),
        }
        Ok(())
    }

    /// How many there are so far.
    pub fn count(&self) -> usize {
        self.engine.as_ref().map_or(0, |(_, kept)| kept.lock().digests.len())
    }

    /// Forgets all but the first `count`: they are in no result.
    pub fn forget_after(&self, count: usize) {
        if let Some((_, kept)) = &self.engine {
            kept.lock().digests.truncate(count);
        }
    }

    /// Puts all that was kept into the engine's store, where it is not there yet.
    ///
    /// # Errors
    /// The first that is met.
    pub fn send(&self) -> Result<(), StoreError> {
        let Some((engine, kept)) = &self.engine else { return Ok(()) };
        let mut digests = kept.lock().digests.clone();
        digests.sort_unstable();
        digests.dedup();
        engine.send(&digests)
    }
}
