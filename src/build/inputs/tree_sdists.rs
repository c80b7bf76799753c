//! The sdists of source trees that a run has made, so that each is made once. Knows nothing of how.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::sdists::Sdist;
use crate::build::cache::Cache;
use crate::contract::Failure;
use crate::digest::Sha256;

/// The sdists that were made of source trees in this run, so that all targets have the same.
#[derive(Debug, Default)]
pub(crate) struct TreeSdists(Mutex<HashMap<Sha256, Result<Sdist, Failure>>>);

impl TreeSdists {
    /// What `make` has made for `key`, or does if nobody has.
    pub fn once(
        &self,
        cache: &Cache,
        key: Sha256,
        make: impl FnOnce() -> Result<Sdist, Failure>,
    ) -> Result<Sdist, Failure> {
        cache.exclusively(key, || {
            if let Some(made) = self.0.lock().get(&key) {
                return made.clone();
            }
            let made = make();
            self.0.lock().insert(key, made.clone());
            made
        })
    }
}
