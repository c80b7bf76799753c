//! Facts that the rooms below tell when they are asked: asked for whenever somebody looks at the metrics.

use std::fmt::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::cas::DiskStore;
use crate::execute::{ExecuteCounters, SharedFiles, TreeUse};
use crate::queue::Queue;
use crate::server::monitoring::health::Troubles;
use crate::worker::engine::SlotHandle;

/// How large the store is, and what it had to remove.
#[derive(Debug)]
pub(crate) struct StoreFacts(pub Arc<DiskStore>);

impl Collector for StoreFacts {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), Error> {
        let usage = self.0.usage();
        let mut show = Show(encoder);
        show.gauge("store_blobs", "Blobs in the store", usage.blobs)?;
        show.gauge("store_blob_bytes", "Bytes of all blobs in the store", usage.blob_bytes)?;
        show.gauge("store_results", "Action results in the store", usage.results)?;
        show.gauge("store_disk_bytes", "Bytes of disk that blobs and results take", usage.disk_bytes)?;
        show.counter("store_evictions", "Blobs and results removed to make room", usage.evicted)?;
        show.counter("store_evicted_bytes", "Bytes of what was removed to make room", usage.evicted_bytes)?;
        show.counter(
            "store_damaged",
            "Blobs and results that were found damaged, and moved out of the way",
            usage.damaged,
        )?;
        show.counter("store_proofs", "Blobs that were hashed again before they were used", usage.proven)?;
        show.counter("store_proven_bytes", "Bytes of blobs that were hashed again", usage.proven_bytes)
    }
}

/// What waits, and what became of the rest.
#[derive(Debug)]
pub(crate) struct QueueFacts(pub Arc<Queue>);

impl Collector for QueueFacts {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), Error> {
        let statistics = self.0.statistics();
        let mut show = Show(encoder);
        show.gauge("queue_length", "Actions that wait for a worker", statistics.queued as u64)?;
        show.gauge("operations", "Operations that can be asked for", statistics.operations as u64)?;
        show.gauge(
            "operations_unattended",
            "Operations that go on although nobody waits for them",
            statistics.unattended as u64,
        )?;
        show.counter("operations_begun", "Operations that clients began", statistics.operations_total)?;
        show.counter(
            "operations_merged",
            "Operations that joined an equal action that was waiting or running",
            statistics.merged_total,
        )?;
        let outcomes = &statistics.outcomes;
        let outcomes = [
            ("cached", outcomes.cached_total),
            ("succeeded", outcomes.succeeded_total),
            ("exited_nonzero", outcomes.exited_nonzero_total),
            ("timed_out", outcomes.timed_out_total),
            ("exceeded", outcomes.exceeded_total),
            ("not_run", outcomes.not_run_total),
            ("cancelled", outcomes.cancelled_total),
            ("abandoned", outcomes.abandoned_total),
            ("worker_failed", outcomes.worker_failed_total),
        ];
        show.counters("operations_ended", "Operations by how they ended", "outcome", outcomes)?;
        let refusals = &statistics.refusals;
        let refusals = [
            ("unsatisfiable", refusals.unsatisfiable_total),
            ("timeout", refusals.timeout_total),
            ("full", refusals.full_total),
            ("closing", refusals.closing_total),
        ];
        show.counters("actions_refused", "Actions that were not taken", "reason", refusals)?;
        let of_pools = |figure: fn(&crate::queue::PoolStatistics) -> u64| {
            statistics.pools.iter().map(move |pool| (pool.pool.as_str(), figure(pool))).collect::<Vec<_>>()
        };
        let slots = of_pools(|pool| pool.slots as u64);
        show.gauges("slots", "Actions that may run at a time", "pool", slots)?;
        let executing = of_pools(|pool| pool.executing as u64);
        show.gauges("slots_in_use", "Actions that run", "pool", executing)?;
        let started = of_pools(|pool| pool.started_total);
        show.counters("actions_started", "Actions that a worker took", "pool", started)?;
        let waited =
            statistics.pools.iter().map(|pool| (pool.pool.as_str(), pool.waited_total.as_secs_f64()));
        show.seconds("queue_wait_seconds", "How long actions waited for a worker, in all", "pool", waited)
    }
}

/// What the slots of a worker do.
#[derive(Debug)]
pub(crate) struct SlotFacts(pub Vec<SlotHandle>);

impl Collector for SlotFacts {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), Error> {
        let mut pools: Vec<(&str, [u64; 4])> = Vec::new();
        for slot in &self.0 {
            let view = slot.view();
            let connected = view.reached && view.trouble.is_none();
            let of_slot = [1, u64::from(view.state == "executing"), u64::from(connected), view.started];
            match pools.iter_mut().find(|(pool, _)| *pool == slot.pool) {
                Some((_, figures)) => {
                    for (sum, figure) in figures.iter_mut().zip(of_slot) {
                        *sum += figure;
                    }
                }
                None => pools.push((&slot.pool, of_slot)),
            }
        }
        let figure = |index: usize| pools.iter().map(move |(pool, figures)| (*pool, figures[index]));
        let mut show = Show(encoder);
        show.gauges("slots", "Actions that may run at a time", "pool", figure(0))?;
        show.gauges("slots_in_use", "Actions that run", "pool", figure(1))?;
        show.gauges("slots_connected", "Slots whose scheduler answers", "pool", figure(2))?;
        show.counters("actions_started", "Actions that a worker took", "pool", figure(3))
    }
}

/// What keeps this machine from taking work.
#[derive(Debug)]
pub(crate) struct HealthFacts(pub Troubles);

impl Collector for HealthFacts {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), Error> {
        let unmet = self.0.unmet().into_iter().map(|(need, unmet)| (need.name(), u64::from(unmet)));
        let help = "1 for what this machine has too little of to take work";
        Show(encoder).gauges("unwell", help, "need", unmet.collect::<Vec<_>>())
    }
}

/// What became of the actions of a pool, from the side of the executor.
#[derive(Debug)]
pub(crate) struct ExecuteFacts(pub Vec<(String, Arc<ExecuteCounters>)>);

impl Collector for ExecuteFacts {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), Error> {
        let of_pools = |counter: fn(&ExecuteCounters) -> &AtomicU64| {
            let figure = move |(pool, counters): &'_ (String, Arc<ExecuteCounters>)| {
                (pool.clone(), counter(counters).load(Ordering::Relaxed))
            };
            self.0.iter().map(figure).collect::<Vec<_>>()
        };
        let mut show = Show(encoder);
        for (name, help, counter) in [
            (
                "actions_missing_inputs",
                "Actions not run for want of inputs",
                (|c| &c.missing_inputs) as fn(&ExecuteCounters) -> &AtomicU64,
            ),
            ("actions_broken", "Actions not run, or not to the end, because of this machine", |c| &c.broken),
            ("action_log_bytes", "Bytes that commands wrote to stdout and stderr", |c| &c.log_bytes),
        ] {
            show.counters(
                name,
                help,
                "pool",
                of_pools(counter).iter().map(|(pool, value)| (pool.as_str(), *value)),
            )?;
        }
        let processor = of_pools(|c| &c.processor_microseconds);
        let processor =
            processor.iter().map(|(pool, microseconds)| (pool.as_str(), *microseconds as f64 / 1e6));
        show.seconds("action_processor_seconds", "Processor time of all commands", "pool", processor)
    }
}

/// How input roots came about.
#[derive(Debug)]
pub(crate) struct TreeFacts(pub Arc<SharedFiles>);

impl Collector for TreeFacts {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), Error> {
        let uses = self.0.tree_uses().map(|(kind, count)| {
            let kind = match kind {
                TreeUse::Warm => "warm",
                TreeUse::Difference => "difference",
                TreeUse::Full => "full",
            };
            (kind, count)
        });
        let mut show = Show(encoder);
        let help =
            "Input roots by what it took to get them: there already, with some changes, or made in full";
        show.counters("input_roots", help, "made", uses)?;
        let entries = self.0.input_entries();
        let help = "Files, directories and symlinks in the input roots of all actions";
        show.counter("input_entries", help, entries.total)?;
        let help = "Those of them that had to be made, because no earlier input root had them";
        show.counter("input_entries_made", help, entries.made)
    }
}

/// Writes metrics of one or no label.
struct Show<'a>(DescriptorEncoder<'a>);

impl Show<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        let gauge = ConstGauge::new(value);
        gauge.encode(self.0.encode_descriptor(name, help, None, MetricType::Gauge)?)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> Result<(), Error> {
        let counter = ConstCounter::new(value);
        counter.encode(self.0.encode_descriptor(name, help, None, MetricType::Counter)?)
    }

    fn gauges<'v>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: impl IntoIterator<Item = (&'v str, u64)>,
    ) -> Result<(), Error> {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for_each(&mut family, label, values, |encoder, value| ConstGauge::new(value).encode(encoder))
    }

    fn counters<'v>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: impl IntoIterator<Item = (&'v str, u64)>,
    ) -> Result<(), Error> {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for_each(&mut family, label, values, |encoder, value| ConstCounter::new(value).encode(encoder))
    }

    fn seconds<'v>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: impl IntoIterator<Item = (&'v str, f64)>,
    ) -> Result<(), Error> {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for_each(&mut family, label, values, |encoder, value| ConstCounter::new(value).encode(encoder))
    }
}

fn for_each<'v, T>(
    family: &mut MetricEncoder<'_>,
    label: &'static str,
    values: impl IntoIterator<Item = (&'v str, T)>,
    encode: impl Fn(MetricEncoder<'_>, T) -> Result<(), Error>,
) -> Result<(), Error> {
    for (of, value) in values {
        let labels = [(label, of)];
        encode(family.encode_family(&labels)?, value)?;
    }
    Ok(())
}
