//! How many connections there may be, in all and from one client. Knows nothing of where they come from.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::patience::Patience;

/// Bounds of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionLimits {
    /// Further ones wait in the kernel until one ends.
    pub total: usize,
    /// Further ones are closed at once, so that one client cannot keep out the others.
    pub per_client: usize,
    pub patience: Patience,
}

/// Lets connections in as long as there is room.
#[derive(Debug)]
pub(crate) struct Door {
    limits: ConnectionLimits,
    places: Arc<Semaphore>,
    of_clients: Mutex<HashMap<Arc<str>, usize>>,
}

/// Room for one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    door: Arc<Door>,
    client: Arc<str>,
    _place: OwnedSemaphorePermit,
}

impl Door {
    /// Nobody is in yet.
    pub(crate) fn new(limits: ConnectionLimits) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(limits.total.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { limits, places, of_clients: Mutex::default() })
    }

    pub(super) fn patience(&self) -> Patience {
        self.limits.patience
    }

    /// Waits until there is room for one more.
    pub(super) async fn room(&self) -> OwnedSemaphorePermit {
        let places = Arc::clone(&self.places);
        places.acquire_owned().await.expect("nobody closes a door")
    }

    /// Lets a client in who has not got as many connections as one may have.
    pub(super) fn enter(self: &Arc<Self>, client: &Arc<str>, room: OwnedSemaphorePermit) -> Option<Place> {
        {
            let mut of_clients = self.of_clients.lock();
            let has = of_clients.entry(Arc::clone(client)).or_default();
            if *has >= self.limits.per_client {
                return None;
            }
            *has += 1;
        }
        Some(Place { door: Arc::clone(self), client: Arc::clone(client), _place: room })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut of_clients = self.door.of_clients.lock();
        if let Some(has) = of_clients.get_mut(&self.client) {
            *has -= 1;
            if *has == 0 {
                of_clients.remove(&self.client);
            }
        }
    }
}
