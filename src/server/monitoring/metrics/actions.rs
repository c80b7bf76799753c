//! How long actions take in each of their stages, and how much memory they need: a layer around what runs them.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::cancellation::Cancellation;
use crate::execute::{
    Execute, ExecuteError, Executed, ObservedTimes, Observer, ResourceUsage, Stage, StageTimes, Work,
};

/// Histograms of all actions that ran.
#[derive(Debug, Clone)]
pub(crate) struct ActionMetrics {
    seconds: Family<PoolStage, Histogram>,
    peak_memory_bytes: Family<OfPool, Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolStage {
    pool: String,
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPool {
    pool: String,
}

impl Default for ActionMetrics {
    fn default() -> Self {
        Self {
            // From 1 ms to 17 minutes.
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(1e-3, 4.0, 11))),
            // From 1 MiB to 16 GiB.
            peak_memory_bytes: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(f64::from(1 << 20), 4.0, 8))
            }),
        }
    }
}

impl ActionMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("action_stage_seconds", "How long actions took, by stage", self.seconds.clone());
        registry.register(
            "action_peak_memory_bytes",
            "The most memory that the processes of an action had at a time",
            self.peak_memory_bytes.clone(),
        );
    }

    fn passed(&self, pool: &str, stage: Stage, took: Duration) {
        let stage = match stage {
            Stage::FetchingInputs => "fetching_inputs",
            Stage::Running => "running",
            Stage::UploadingOutputs => "uploading_outputs",
        };
        let labels = PoolStage { pool: pool.to_owned(), stage };
        self.seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    fn used(&self, pool: &str, usage: &ResourceUsage) {
        let labels = OfPool { pool: pool.to_owned() };
        self.peak_memory_bytes.get_or_create(&labels).observe(usage.peak_memory_bytes as f64);
    }
}

/// Runs actions with `inner`, and measures them.
#[derive(Debug)]
pub(crate) struct Measured<E> {
    pub inner: E,
    pub pool: String,
    pub metrics: ActionMetrics,
}

impl<E: Execute> Execute for Measured<E> {
    fn execute(
        &self,
        work: &Work,
        observer: &dyn Observer,
        cancellation: &Cancellation,
    ) -> Result<Executed, ExecuteError> {
        let times = ObservedTimes::new(observer);
        let ended = self.inner.execute(work, &times, cancellation);
        for (stage, took) in times.get().into_iter().flat_map(stages) {
            self.metrics.passed(&self.pool, stage, took);
        }
        let metadata = ended.as_ref().ok().and_then(|executed| executed.result.execution_metadata.as_ref());
        if let Some(usage) = metadata.and_then(|metadata| ResourceUsage::find(&metadata.auxiliary_metadata)) {
            self.metrics.used(&self.pool, &usage);
        }
        ended
    }
}

/// The stages that an action came to, and how long it was in each.
fn stages(times: &StageTimes) -> impl Iterator<Item = (Stage, Duration)> {
    Stage::ALL.into_iter().filter_map(|stage| Some((stage, times.took(stage)?)))
}
