//! The REAPI `Execution` service. Knows nothing of how actions are matched, queued and run.

mod admission;
mod inlining;
pub(super) mod log_stream;
pub(super) mod operation_filter;
pub(super) mod operation_message;
pub(super) mod operations;
mod service;
mod updates;

pub use service::{ExecutionService, ExecutionSettings};
