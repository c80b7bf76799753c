//! The services of the Remote Execution API on a socket. Knows nothing of files and processes.

mod calls;
mod descriptors;
mod execution;
mod host;
mod http;
mod listener;
mod log_stream;
mod metrics;
mod operation_filter;
mod operation_message;
mod operations;
mod readiness;
pub mod settings;
mod status;

pub use execution::{ExecutionService, ExecutionSettings};
pub use host::{Host, HostError, Summary};
pub use http::HttpServer;
pub use listener::{Address, InvalidAddress, ListenError, Listening};
pub use log_stream::LogStreams;
pub use operations::OperationsService;
