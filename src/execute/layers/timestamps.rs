//! When what happened, in the result's `ExecutedActionMetadata`. Knows nothing of how actions run.

use std::time::SystemTime;

use parking_lot::Mutex;

use crate::cancellation::Cancellation;
use crate::execute::error::ExecuteError;
use crate::execute::work::{Execute, Executed, Observer, OutputStream, Stage, Work};
use crate::reapi::timestamp;

/// Fills in the worker and the times; what the layer below has put in stays.
#[derive(Debug)]
pub struct Timestamped<E>(pub E);

impl<E: Execute> Execute for Timestamped<E> {
    fn execute(
        &self,
        work: &Work,
        observer: &dyn Observer,
        cancellation: &Cancellation,
    ) -> Result<Executed, ExecuteError> {
        let started = SystemTime::now();
        let clock = Clock { observer, reached: Mutex::default() };
        let mut executed = self.0.execute(work, &clock, cancellation)?;
        let completed = SystemTime::now();
        let [fetching, running, uploading] = clock.reached.into_inner();
        let metadata = executed.result.execution_metadata.get_or_insert_default();
        metadata.worker.clone_from(&work.worker);
        metadata.queued_timestamp = Some(timestamp(work.queued_at));
        metadata.worker_start_timestamp = Some(timestamp(started));
        metadata.input_fetch_start_timestamp = fetching.map(timestamp);
        metadata.input_fetch_completed_timestamp = running.map(timestamp);
        metadata.execution_start_timestamp = running.map(timestamp);
        metadata.execution_completed_timestamp = uploading.map(timestamp);
        metadata.output_upload_start_timestamp = uploading.map(timestamp);
        metadata.output_upload_completed_timestamp = uploading.map(|_| timestamp(completed));
        metadata.worker_completed_timestamp = Some(timestamp(completed));
        Ok(executed)
    }
}

/// Notes when each stage was reached, in their order. One that is reached again counts from then on.
struct Clock<'a> {
    observer: &'a dyn Observer,
    reached: Mutex<[Option<SystemTime>; 3]>,
}

impl Observer for Clock<'_> {
    fn stage(&self, stage: Stage) {
        self.reached.lock()[stage as usize] = Some(SystemTime::now());
        self.observer.stage(stage);
    }

    fn output(&self, stream: OutputStream, bytes: &[u8]) {
        self.observer.output(stream, bytes);
    }
}
