//! What is counted and measured, and how Prometheus reads it. The rooms below keep no metrics: they tell facts
//! (the size of the store, the length of the queue), which are asked for when somebody looks; and what has to be
//! measured on the way is measured by layers around their traits. Knows nothing of HTTP.

use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::actions::{ActionMetrics, Measured};
use super::calls::CallMetrics;
use super::facts::{ExecuteFacts, HealthFacts, QueueFacts, SlotFacts, StoreFacts, TreeFacts};
use crate::cas::DiskStore;
use crate::execute::{Execute, ExecuteCounters, SharedFiles};
use crate::queue::Queue;
use crate::server::monitoring::health::Troubles;
use crate::worker::engine::SlotHandle;

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything a host counts.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Of all services.
    pub calls: Arc<CallMetrics>,
    actions: ActionMetrics,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("crosswheel");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "This crosswheel", version);
        let calls = Arc::new(CallMetrics::default());
        calls.register(&mut registry);
        let actions = ActionMetrics::default();
        actions.register(&mut registry);
        Self { registry: Mutex::new(registry), calls, actions }
    }

    /// Shows what they know, too.
    pub fn watch(
        &self,
        store: &Arc<DiskStore>,
        files: &Arc<SharedFiles>,
        counters: Vec<(String, Arc<ExecuteCounters>)>,
    ) {
        let mut registry = self.registry.lock();
        registry.register_collector(Box::new(StoreFacts(Arc::clone(store))));
        registry.register_collector(Box::new(TreeFacts(Arc::clone(files))));
        registry.register_collector(Box::new(ExecuteFacts(counters)));
    }

    /// Shows what it knows, too.
    pub fn watch_queue(&self, queue: &Arc<Queue>) {
        self.registry.lock().register_collector(Box::new(QueueFacts(Arc::clone(queue))));
    }

    /// Shows how the slots of a worker are, too.
    pub fn watch_slots(&self, slots: Vec<SlotHandle>) {
        self.registry.lock().register_collector(Box::new(SlotFacts(slots)));
    }

    /// Shows what is wrong with this machine, too.
    pub fn watch_health(&self, troubles: Troubles) {
        self.registry.lock().register_collector(Box::new(HealthFacts(troubles)));
    }

    /// Runs the actions of `pool` as `inner` does, and measures them.
    pub fn measure<E: Execute + 'static>(&self, inner: E, pool: &str) -> Arc<dyn Execute> {
        Arc::new(Measured { inner, pool: pool.to_owned(), metrics: self.actions.clone() })
    }

    /// All metrics in the text format of Prometheus and OpenMetrics.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Only a writer that fails can make it fail, and this one is a string.
        let _ = encode(&mut text, &self.registry.lock());
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
