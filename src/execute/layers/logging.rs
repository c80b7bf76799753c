//! One line in the log for every action. Knows nothing of how actions run.

use super::observed_times::ObservedTimes;
use crate::cancellation::Cancellation;
use crate::execute::error::ExecuteError;
use crate::execute::resource_usage::ResourceUsage;
use crate::execute::work::{Execute, Executed, Observer, Work};

/// Logs how each action ended, for whom it was, and what it used. Never its arguments, environment or output, in
/// which secrets may be.
#[derive(Debug)]
pub struct Logged<E>(pub E);

impl<E: Execute> Execute for Logged<E> {
    fn execute(
        &self,
        work: &Work,
        observer: &dyn Observer,
        cancellation: &Cancellation,
    ) -> Result<Executed, ExecuteError> {
        let times = ObservedTimes::new(observer);
        let ended = self.0.execute(work, &times, cancellation);
        let milliseconds = times.get().map_or(0.0, |times| times.total().as_secs_f64() * 1000.0);
        let action = work.action_digest.to_string();
        let worker = work.worker.as_str();
        let request = work.request_metadata.clone().unwrap_or_default();
        let (mnemonic, target) = (request.action_mnemonic, request.target_id);
        let invocation = request.tool_invocation_id;
        let tool = request.tool_details.map(|tool| tool.tool_name).unwrap_or_default();
        match &ended {
            Ok(executed) => {
                let metadata = executed.result.execution_metadata.as_ref();
                let usage = metadata.and_then(|metadata| ResourceUsage::find(&metadata.auxiliary_metadata));
                let usage = usage.unwrap_or_default();
                tracing::info!(
                    action,
                    worker,
                    tool,
                    mnemonic,
                    target,
                    invocation,
                    exit_code = executed.result.exit_code,
                    timed_out = executed.timed_out,
                    exceeded = executed.exceeded.as_ref().map(|exceeded| exceeded.limit),
                    milliseconds,
                    peak_memory_bytes = usage.peak_memory_bytes,
                    processor_milliseconds = usage.processor_time().as_secs_f64() * 1000.0,
                    "action ended"
                );
            }
            Err(ExecuteError::Cancelled) => {
                tracing::info!(
                    action,
                    worker,
                    tool,
                    mnemonic,
                    target,
                    invocation,
                    milliseconds,
                    "action cancelled"
                );
            }
            // These are the client's to mend.
            Err(
                error @ (ExecuteError::MissingInputs(_)
                | ExecuteError::Invalid { .. }
                | ExecuteError::Refused(_)),
            ) => {
                tracing::info!(action, worker, tool, mnemonic, target, invocation, milliseconds, %error, "action refused");
            }
            Err(error) => {
                tracing::warn!(action, worker, tool, mnemonic, target, invocation, milliseconds, %error, "action failed to run");
            }
        }
        ended
    }
}
