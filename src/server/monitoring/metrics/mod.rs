//! What is counted and measured, and how Prometheus reads it. The rooms below keep no metrics: they tell facts
//! (the size of the store, the length of the queue), which are asked for when somebody looks; and what has to be
//! measured on the way is measured by layers around their traits. Knows nothing of HTTP.

pub(super) mod actions;
pub(super) mod calls;
pub(super) mod facts;
mod registry;

pub use calls::{CallMetrics, Direction};
pub use registry::{CONTENT_TYPE, Metrics};
