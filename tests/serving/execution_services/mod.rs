//! The Execution and Operations services over a socket, with an executor that does what the tests say.

mod caching;
mod failures;
mod listening;
mod load;
mod matching;
mod merging;
mod operations;
mod order;
mod refusals;
pub mod scene;
mod scripted;
mod streams;
