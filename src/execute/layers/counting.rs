//! Counts what became of actions. Knows nothing of how they run, or of who reads the counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cancellation::Cancellation;
use crate::execute::error::ExecuteError;
use crate::execute::resource_usage::ResourceUsage;
use crate::execute::stage_times::{Moment, Stage, StageTimes};
use crate::execute::work::{Execute, Executed, Observer, OutputStream, Work};

/// Counters of one pool, since the start. Each is right on its own; read together they may be from different
/// moments.
#[derive(Debug, Default)]
pub struct ExecuteCounters {
    /// Actions that run now.
    pub running: AtomicU64,
    /// Exited with 0.
    pub succeeded: AtomicU64,
    /// Exited otherwise.
    pub failed: AtomicU64,
    pub timed_out: AtomicU64,
    /// Killed for having taken more than they may have.
    pub exceeded: AtomicU64,
    pub cancelled: AtomicU64,
    /// Not run for want of inputs.
    pub missing_inputs: AtomicU64,
    /// Not run because of what the client asked for.
    pub refused: AtomicU64,
    /// Not run, or not to the end, because of this machine.
    pub broken: AtomicU64,
    /// Wall-clock time in the stages, in the order of [`Stage`].
    pub stage_microseconds: [AtomicU64; 3],
    /// Processor time of all commands.
    pub processor_microseconds: AtomicU64,
    /// Bytes that commands wrote to stdout and stderr.
    pub log_bytes: AtomicU64,
}

/// Counts actions.
#[derive(Debug)]
pub struct Counted<E> {
    pub inner: E,
    pub counters: Arc<ExecuteCounters>,
}

impl<E: Execute> Execute for Counted<E> {
    fn execute(
        &self,
        work: &Work,
        observer: &dyn Observer,
        cancellation: &Cancellation,
    ) -> Result<Executed, ExecuteError> {
        let _running = Running::new(&self.counters.running);
        let counting = Counting { observer, counters: &self.counters };
        let ended = self.inner.execute(work, &counting, cancellation);
        self.count(&ended);
        ended
    }
}

impl<E> Counted<E> {
    fn count(&self, ended: &Result<Executed, ExecuteError>) {
        let counters = &self.counters;
        let outcome = match ended {
            Ok(executed) if executed.timed_out => &counters.timed_out,
            Ok(executed) if executed.exceeded.is_some() => &counters.exceeded,
            Err(ExecuteError::Exceeded(_)) => &counters.exceeded,
            Ok(executed) if executed.result.exit_code == 0 => &counters.succeeded,
            Ok(_) => &counters.failed,
            Err(ExecuteError::Cancelled) => &counters.cancelled,
            Err(ExecuteError::MissingInputs(_)) => &counters.missing_inputs,
            Err(ExecuteError::Invalid { .. } | ExecuteError::Refused(_)) => &counters.refused,
            Err(ExecuteError::Store(_) | ExecuteError::Sandbox(_) | ExecuteError::Io { .. }) => {
                &counters.broken
            }
        };
        outcome.fetch_add(1, Ordering::Relaxed);
        let metadata = ended.as_ref().ok().and_then(|executed| executed.result.execution_metadata.as_ref());
        if let Some(usage) = metadata.and_then(|metadata| ResourceUsage::find(&metadata.auxiliary_metadata)) {
            let microseconds = u64::try_from(usage.processor_time().as_micros()).unwrap_or(u64::MAX);
            counters.processor_microseconds.fetch_add(microseconds, Ordering::Relaxed);
        }
    }
}

struct Running<'a>(&'a AtomicU64);

impl<'a> Running<'a> {
    fn new(running: &'a AtomicU64) -> Self {
        running.fetch_add(1, Ordering::Relaxed);
        Self(running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts while the action runs.
struct Counting<'a> {
    observer: &'a dyn Observer,
    counters: &'a ExecuteCounters,
}

impl Observer for Counting<'_> {
    fn stage(&self, stage: Stage, at: Moment) {
        self.observer.stage(stage, at);
    }

    fn output(&self, stream: OutputStream, bytes: &[u8]) {
        self.counters.log_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.observer.output(stream, bytes);
    }

    fn ended(&self, times: &StageTimes) {
        for stage in Stage::ALL {
            let took = times.took(stage).unwrap_or_default();
            let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            self.counters.stage_microseconds[stage as usize].fetch_add(microseconds, Ordering::Relaxed);
        }
        self.observer.ended(times);
    }
}
