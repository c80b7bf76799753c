//! When what happened, in the result's `ExecutedActionMetadata` and for all layers around this one. Knows nothing of
//! how actions run.

use parking_lot::Mutex;

use crate::cancellation::Cancellation;
use crate::execute::error::ExecuteError;
use crate::execute::stage_times::{Moment, RunningTimes, Stage};
use crate::execute::work::{Execute, Executed, Observer, OutputStream, Work};
use crate::reapi::timestamp;

/// Fills in the worker and the times; what the layer below has put in stays. Tells the observer the times in the end.
#[derive(Debug)]
pub struct Timestamped<E>(pub E);

impl<E: Execute> Execute for Timestamped<E> {
    fn execute(
        &self,
        work: &Work,
        observer: &dyn Observer,
        cancellation: &Cancellation,
    ) -> Result<Executed, ExecuteError> {
        let clock = Clock { observer, times: Mutex::new(RunningTimes::start(Moment::now())) };
        let mut ended = self.0.execute(work, &clock, cancellation);
        let times = clock.times.into_inner().end(Moment::now());
        if let Ok(executed) = &mut ended {
            let metadata = executed.result.execution_metadata.get_or_insert_default();
            metadata.worker.clone_from(&work.worker);
            metadata.queued_timestamp = Some(timestamp(work.queued_at));
            times.write_to(metadata);
        }
        observer.ended(&times);
        ended
    }
}

/// Notes when each stage was reached.
struct Clock<'a> {
    observer: &'a dyn Observer,
    times: Mutex<RunningTimes>,
}

impl Observer for Clock<'_> {
    fn stage(&self, stage: Stage, at: Moment) {
        self.times.lock().reach(stage, at);
        self.observer.stage(stage, at);
    }

    fn output(&self, stream: OutputStream, bytes: &[u8]) {
        self.observer.output(stream, bytes);
    }
}
