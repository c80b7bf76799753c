//! What is counted and measured. Knows nothing of HTTP.

pub(super) mod actions;
pub(super) mod calls;
pub(super) mod facts;
mod registry;

pub use calls::{CallMetrics, Direction};
pub use registry::{CONTENT_TYPE, Metrics};
