//! The Remote Execution API: the store, its services, those of execution, and `crosswheel serve` as a process,
//! among clients that mean well and others.

#[path = "../support/mod.rs"]
mod support;

mod engines;
mod execution_services;
mod hostile_clients;
mod serve;
mod storage_services;
mod store;
mod store_attacks;
