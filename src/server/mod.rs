//! The services of the Remote Execution API on a socket. Knows nothing of files and processes.

mod calls;
mod descriptors;
mod host;
mod http;
mod listener;
mod metrics;
mod readiness;
pub mod settings;
mod status;

pub use host::{Host, HostError, Summary};
pub use http::HttpServer;
pub use listener::{Address, InvalidAddress, ListenError, Listening};
