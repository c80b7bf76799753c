//! Actions that clients want to have run: the services of operations and of what running actions write.
//! Knows nothing of how actions are matched, queued and run.

mod admission;
mod inlining;
pub(super) mod log_stream;
mod operation_filter;
mod operation_message;
pub(super) mod operations;
mod service;
mod updates;

pub use service::{ExecutionService, ExecutionSettings};
