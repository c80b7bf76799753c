//! Operations of the single-host executor: matching, merging, stages, cancellation. Owns all operations and is
//! the only one to change them; workers and clients send it events. Knows nothing of processes and sockets.

mod pool;

pub use pool::Pool;
