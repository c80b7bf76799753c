//! The store that a machine has only copies of. Knows nothing of how it is reached.

use std::sync::Arc;

use super::traits::BlobStore;
use crate::cancellation::HangUp;

/// Where blobs are that this machine keeps only copies of: the CAS of an engine, by instance.
pub trait Upstream: Send + Sync {
    /// The store of this instance. Cheap; called for every action.
    fn of_instance(&self, instance_name: &str) -> Arc<dyn BlobStore>;

    /// As [`of_instance`](Self::of_instance); its calls are to fail as soon as nobody waits for them.
    fn of_instance_until(&self, instance_name: &str, _hang_up: &HangUp) -> Arc<dyn BlobStore> {
        self.of_instance(instance_name)
    }
}
