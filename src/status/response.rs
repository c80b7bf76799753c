//! How an operation that has ended is told to whoever asked for its action. Knows nothing of who that is.

use super::errors::{of_outcome, to_message};
use crate::queue::Outcome;
use crate::reapi::{ActionResult, ExecuteResponse, rpc};

/// What an operation that ended in this way says (REAPI `ExecuteResponse`). `result` takes the place of the one in the
/// outcome, if there is one.
pub(crate) fn execute_response(outcome: &Outcome, result: Option<ActionResult>) -> ExecuteResponse {
    let status = match of_outcome(outcome) {
        Ok(()) => rpc::Status::default(),
        Err(status) => to_message(&status),
    };
    ExecuteResponse {
        result: result.or_else(|| outcome.result().cloned()),
        cached_result: matches!(outcome, Outcome::Cached(_)),
        status: Some(status),
        message: match outcome {
            Outcome::Executed(executed) => executed.message.clone(),
            _ => String::new(),
        },
        ..ExecuteResponse::default()
    }
}
