//! Whether a host takes new work, for everybody who asks. Knows nothing of why it might not.

use std::sync::Arc;

use parking_lot::Mutex;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// One answer in all forms: for `/readyz`, and for the gRPC health service.
#[derive(Debug, Clone)]
pub(crate) struct Readiness {
    /// Why it is not ready, if it is not.
    obstacle: Arc<Mutex<Option<String>>>,
    /// Services by name; the empty one is the whole host.
    services: Arc<[String]>,
    health: HealthReporter,
}

impl Readiness {
    /// Not ready yet.
    pub(crate) fn new(health: HealthReporter, services: impl IntoIterator<Item = String>) -> Self {
        let services = std::iter::once(String::new()).chain(services).collect();
        Self { obstacle: Arc::new(Mutex::new(Some("it is about to begin".to_owned()))), services, health }
    }

    /// For who has no services.
    pub(crate) fn without_services() -> Self {
        Self::new(HealthReporter::new(), [])
    }

    /// Why it takes no new work; none if it does.
    pub(crate) fn obstacle(&self) -> Option<String> {
        self.obstacle.lock().clone()
    }

    /// Takes new work, but for this.
    pub(crate) async fn set(&self, obstacle: Option<String>) {
        let ready = obstacle.is_none();
        *self.obstacle.lock() = obstacle;
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in &*self.services {
            self.health.set_service_status(service.clone(), status).await;
        }
    }
}
