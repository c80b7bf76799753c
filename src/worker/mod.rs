//! Takes work, has it run, reports. Knows nothing of how an action runs.

pub mod local;
mod offer;

pub use offer::{Libc, Offer};
