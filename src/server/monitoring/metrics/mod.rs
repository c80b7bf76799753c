//! What is counted and measured. Knows nothing of HTTP.

mod actions;
mod calls;
mod facts;
mod registry;

pub use calls::{CallMetrics, Direction};
pub use registry::{CONTENT_TYPE, Metrics};
