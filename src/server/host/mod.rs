//! A machine put together: pools, store, executors, queue and services. The only part of the server that knows all others.

pub(super) mod machine;
pub(super) mod pools;
pub(super) mod step_cache;
pub(super) mod trial;
