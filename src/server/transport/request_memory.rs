//! How much memory the requests take that are being received, in all and of one client. Knows nothing of what is in them.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tonic::{Code, Status};

use super::shortage::later;
use crate::shares::{Shares, Shortage};

/// The memory for requests of all clients.
#[derive(Debug)]
pub(crate) struct RequestMemory(Mutex<Shares>);

/// What one request takes of it. Given back when the last of those who hold the request lets go.
#[derive(Clone)]
pub(crate) struct Held(Arc<Inner>);

struct Inner {
    memory: Arc<RequestMemory>,
    client: Arc<str>,
    bytes: Mutex<usize>,
}

impl RequestMemory {
    /// So many bytes.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Shares::new(limit))))
    }

    /// For one request of a client.
    pub(super) fn hold(self: &Arc<Self>, client: Arc<str>) -> Held {
        Held(Arc::new(Inner { memory: Arc::clone(self), client, bytes: Mutex::new(0) }))
    }
}

impl Held {
    /// Takes more.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED that names the limit.
    pub(super) fn grow(&self, more: usize) -> Result<(), Status> {
        let inner = &*self.0;
        let mut memory = inner.memory.0.lock();
        let refusal = match memory.shortage(&inner.client, more) {
            None => {
                memory.add(&inner.client, more);
                *inner.bytes.lock() += more;
                return Ok(());
            }
            Some(Shortage::Total { limit }) => {
                format!(
                    "the requests that are being received take {limit} bytes, which is as much as they may"
                )
            }
            Some(Shortage::Share { limit }) => format!(
                "the requests that are being received from one client take {limit} bytes, which is as much as they may"
            ),
        };
        Err(later(Code::ResourceExhausted, format!("{refusal} (max-request-bytes); ask again later")))
    }

    /// Takes no less than this: a request that was compressed turned out to be larger.
    ///
    /// # Errors
    /// As [`Held::grow`].
    pub(crate) fn grow_to(&self, bytes: usize) -> Result<(), Status> {
        let has = *self.0.bytes.lock();
        if bytes > has { self.grow(bytes - has) } else { Ok(()) }
    }

    /// Gives some back.
    pub(super) fn shrink(&self, less: usize) {
        let inner = &*self.0;
        let mut memory = inner.memory.0.lock();
        let mut bytes = inner.bytes.lock();
        let less = less.min(*bytes);
        *bytes -= less;
        memory.remove(&inner.client, less);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.memory.0.lock().remove(&self.client, *self.bytes.lock());
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Held({})", self.0.bytes.lock())
    }
}
