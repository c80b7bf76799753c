//! Puts a machine together: the store, the executors, and what hands out the work: a queue and the services around it, or
//! the scheduler of an engine. The only part that knows all of them.

mod claims;
mod engine_worker;
mod error;
mod foundation;
mod machine;
mod pools;
mod step_cache;
mod trial;
mod worker_name;

pub use engine_worker::{EngineWorker, ProvenWorker};
pub use error::HostError;
pub use foundation::Summary;
pub use machine::Host;
