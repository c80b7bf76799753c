//! Takes work, has it run, reports: from the queue of this process ([`local`]), or from the scheduler of an engine
//! ([`engine`]). Knows nothing of how an action runs.

pub mod engine;
pub mod local;
mod panics;
