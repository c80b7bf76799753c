//! What it means that a backend was run and made no wheel. Knows nothing of what the lines of its log mean.

use std::time::Duration;

use super::backend::hooks::{BackendRun, Conversation};
use super::diagnosis::diagnose;
use crate::contract::{Failure, FailureClass};
use crate::sandbox::Outcome;

/// Why `run`, which wrote `log` and had `timeout` to end, made no wheel.
pub(super) fn failed_run(run: &BackendRun, log: &[String], timeout: Option<Duration>) -> Failure {
    if run.exit.timed_out {
        let limit = timeout.unwrap_or_default().as_secs();
        let mut failure =
            Failure::new(FailureClass::Timeout, format!("the backend was ended after {limit} s"));
        failure.evidence = log.iter().rev().take(5).rev().cloned().collect();
        return failure.with_hint(
            "allow more time with --timeout SECONDS, or look at the last lines for what it waits for",
        );
    }
    let error = match &run.conversation {
        Conversation::Failed(error) => Some(error),
        _ => None,
    };
    let mut failure = diagnose(error, log);
    if failure.class == FailureClass::BackendError {
        let killed = error.is_some_and(|error| error.kind == "Killed")
            || matches!(run.exit.outcome, Outcome::Signal(_));
        if killed {
            failure.class = FailureClass::Killed;
            failure.message = match (&run.exit.outcome, error) {
                (_, Some(error)) => format!("the backend's process was {}", error.text),
                (Outcome::Signal(signal), None) => {
                    format!("the backend's process was killed by signal {signal}")
                }
                (Outcome::Code(code), None) => format!("the backend's process ended with code {code}"),
            };
            failure.hint = Some("if this machine ran out of memory (see `dmesg`), give the build more, or fewer parallel jobs".into());
        }
    }
    failure
}
