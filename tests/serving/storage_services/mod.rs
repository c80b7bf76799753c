//! The storage services of the Remote Execution API, through real clients over a loopback socket.

mod action_cache;
mod batches;
mod capabilities;
mod chunks;
mod endpoint;
mod find_missing;
mod malformed;
mod reads;
mod remote_store;
mod trees;
mod uploads;
