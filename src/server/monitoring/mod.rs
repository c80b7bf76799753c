//! What is told of a host to those who watch it: metrics, health, readiness.

pub(super) mod health;
pub(super) mod http;
pub(super) mod metrics;
pub(super) mod readiness;
