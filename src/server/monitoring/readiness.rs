//! Whether a host takes new work, for everybody who asks. Knows nothing of why it might not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// One answer in all forms: for `/readyz`, and for the gRPC health service.
#[derive(Debug, Clone)]
pub(crate) struct Readiness {
    ready: Arc<AtomicBool>,
    /// Services by name; the empty one is the whole host.
    services: Arc<[String]>,
    health: HealthReporter,
}

impl Readiness {
    /// Not ready yet.
    pub(crate) fn new(health: HealthReporter, services: impl IntoIterator<Item = String>) -> Self {
        let services = std::iter::once(String::new()).chain(services).collect();
        Self { ready: Arc::default(), services, health }
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    pub(crate) async fn set(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in &*self.services {
            self.health.set_service_status(service.clone(), status).await;
        }
    }
}
