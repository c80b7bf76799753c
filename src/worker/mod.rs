//! Takes work, has it run, reports. Knows nothing of how an action runs.

pub mod local;
