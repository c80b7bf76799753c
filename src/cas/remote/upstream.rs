//! All instances of one server, over one connection. Knows nothing of what is kept here of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::store::RemoteStore;
use crate::cancellation::HangUp;
use crate::cas::traits::BlobStore;
use crate::cas::upstream::Upstream;
use crate::reapi::ServerCapabilities;
use crate::remote::RemoteChannel;

/// All instances of one server. A store of one is a few handles, so none is kept: there is no end to the names that
/// clients may think of.
#[derive(Debug, Clone)]
pub struct RemoteUpstream {
    any: RemoteStore,
}

impl RemoteUpstream {
    /// As [`RemoteStore::new`]; what the server can is taken to be the same for all instances.
    pub fn new(runtime: Handle, channel: RemoteChannel, capabilities: &ServerCapabilities) -> Self {
        Self { any: RemoteStore::new(runtime, channel, "", capabilities) }
    }

    /// As it is, but for how long it goes on to try what fails for a moment (30 s).
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { any: self.any.with_patience(patience) }
    }

    /// The store of an instance, which is its [`ActionCache`](crate::cas::ActionCache), too.
    pub fn store(&self, instance_name: &str) -> RemoteStore {
        self.any.of_instance(instance_name)
    }
}

impl Upstream for RemoteUpstream {
    fn of_instance(&self, instance_name: &str) -> Arc<dyn BlobStore> {
        Arc::new(self.store(instance_name))
    }

    fn of_instance_until(&self, instance_name: &str, hang_up: &HangUp) -> Arc<dyn BlobStore> {
        Arc::new(self.store(instance_name).until(hang_up))
    }
}

#[cfg(test)]
mod tests;
