//! A remote store behind the traits of all stores. Knows nothing of how the connection comes about.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::link::{Limits, Link};
use super::reader::RemoteReader;
use crate::cancellation::HangUp;
use crate::cas::error::StoreError;
use crate::cas::traits::BlobStore;
use crate::digest::Digest;
use crate::reapi::ServerCapabilities;
use crate::remote::RemoteChannel;

/// How long failures that may pass are put up with.
const PATIENCE: Duration = Duration::from_secs(30);
/// A remote store. Clones share their connection.
#[derive(Debug, Clone)]
pub struct RemoteStore {
    pub(super) link: Arc<Link>,
}

impl RemoteStore {
    /// The store at the other end of `channel`, which must belong to `runtime`, with what the server said that it
    /// can (REAPI `GetCapabilities`).
    pub fn new(
        runtime: Handle,
        channel: RemoteChannel,
        instance_name: &str,
        capabilities: &ServerCapabilities,
    ) -> Self {
        let limits = capabilities.cache_capabilities.as_ref().map_or_else(Limits::default, Limits::new);
        let instance_name = instance_name.to_owned();
        let link = Link {
            runtime,
            channel,
            instance_name,
            limits,
            patience: PATIENCE,
            hang_up: HangUp::default(),
            learned_batch_bytes: Arc::new(usize::MAX.into()),
            tells_no_trees: Arc::default(),
        };
        Self { link: Arc::new(link) }
    }

    /// Another instance of the same server, over the same connection.
    #[must_use]
    pub fn of_instance(&self, instance_name: &str) -> Self {
        self.with(|link| instance_name.clone_into(&mut link.instance_name))
    }

    /// As it is, but its calls fail as soon as nobody waits for them.
    #[must_use]
    pub fn until(&self, hang_up: &HangUp) -> Self {
        self.with(|link| link.hang_up = hang_up.clone())
    }

    /// As it is, but for how long it goes on to try what fails for a moment (30 s).
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        self.with(|link| link.patience = patience)
    }

    fn with(&self, change: impl FnOnce(&mut Link)) -> Self {
        let mut link = (*self.link).clone();
        change(&mut link);
        Self { link: Arc::new(link) }
    }
}

impl BlobStore for RemoteStore {
    fn find_missing(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        self.link.find_missing(digests)
    }

    fn read(&self, digest: &Digest) -> Result<Bytes, StoreError> {
        self.read_many(&[*digest]).pop().unwrap_or(Err(StoreError::NotFound(*digest)))
    }

    fn read_many(&self, digests: &[Digest]) -> Vec<Result<Bytes, StoreError>> {
        self.link.read_many(digests)
    }

    fn read_directories(
        &self,
        root: &Digest,
        take: &mut dyn FnMut(Vec<(Digest, Bytes)>) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        self.link.read_directories(root, take)
    }

    fn open(&self, digest: &Digest, offset: u64) -> Result<Box<dyn Read + Send>, StoreError> {
        Ok(Box::new(RemoteReader::open(Arc::clone(&self.link), digest, offset)?))
    }

    fn write_many(&self, blobs: &[(Digest, Bytes)]) -> Vec<Result<(), StoreError>> {
        self.link.write_many(blobs)
    }

    fn write_from(&self, digest: &Digest, source: &mut dyn Read) -> Result<(), StoreError> {
        self.link.write_stream(digest, source)
    }

    fn write_reopening<'a>(
        &self,
        digest: &Digest,
        open: &mut dyn FnMut() -> io::Result<Box<dyn Read + 'a>>,
    ) -> Result<(), StoreError> {
        self.link.write_reopening(digest, open)
    }
}

#[cfg(test)]
mod tests;
