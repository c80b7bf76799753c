//! The services of the Remote Execution API on a socket. Knows nothing of files and processes.

mod execution;
mod log_stream;
mod operation_filter;
mod operation_message;
mod operations;
mod status;

pub use execution::{ExecutionService, ExecutionSettings};
pub use log_stream::LogStreams;
pub use operations::OperationsService;
