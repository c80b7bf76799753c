//! A machine put together: pools, store, executors, queue and services. The only part of the server that knows all others.

mod claims;
mod error;
mod machine;
mod pools;
mod step_cache;
mod trial;

pub use error::HostError;
pub use machine::{Host, Summary};
