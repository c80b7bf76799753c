//! Counters of calls, by method and gRPC code.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tonic::Code;

use crate::server::descriptors;

/// What methods that we do not have are counted as: names that clients make up must not fill the memory.
const UNKNOWN: &str = "unknown";

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Received,
    Sent,
}

/// Counters of all calls.
#[derive(Debug)]
pub struct CallMetrics {
    calls: Family<Ended, Counter>,
    seconds: Family<Ended, Histogram>,
    in_flight: Family<Method, Gauge>,
    received_bytes: Family<Method, Counter>,
    sent_bytes: Family<Method, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Method {
    method: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    method: &'static str,
    code: &'static str,
}

impl Default for CallMetrics {
    fn default() -> Self {
        Self {
            calls: Family::default(),
            seconds: Family::new_with_constructor(latency),
            in_flight: Family::default(),
            received_bytes: Family::default(),
            sent_bytes: Family::default(),
        }
    }
}

/// From 100 µs to 6.5 s; streams of long actions end in the last one.
fn latency() -> Histogram {
    Histogram::new(exponential_buckets(1e-4, 4.0, 9))
}

impl CallMetrics {
    /// Makes them part of what is shown.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("calls", "Calls that have ended", self.calls.clone());
        registry.register("call_seconds", "How long calls took", self.seconds.clone());
        registry.register("calls_in_flight", "Calls that have not ended yet", self.in_flight.clone());
        registry.register(
            "call_received_bytes",
            "Bytes of requests, as they were sent",
            self.received_bytes.clone(),
        );
        registry.register("call_sent_bytes", "Bytes of answers, as they are sent", self.sent_bytes.clone());
    }

    /// The name under which calls with this path are counted: `SERVICE/METHOD`.
    pub fn method(&self, path: &str) -> &'static str {
        let name = path.strip_prefix('/').unwrap_or(path);
        descriptors::methods().get(name).copied().unwrap_or(UNKNOWN)
    }

    /// A call has begun.
    pub fn begin(&self, method: &'static str) {
        self.in_flight.get_or_create(&Method { method }).inc();
    }

    /// A call has ended that took so long.
    pub fn end(&self, method: &'static str, code: Code, elapsed: Duration) {
        self.in_flight.get_or_create(&Method { method }).dec();
        let ended = Ended { method, code: code_name(code) };
        self.calls.get_or_create(&ended).inc();
        self.seconds.get_or_create(&ended).observe(elapsed.as_secs_f64());
    }

    /// So many bytes of a call went this way.
    pub fn bytes(&self, method: &'static str, direction: Direction, count: usize) {
        let family = match direction {
            Direction::Received => &self.received_bytes,
            Direction::Sent => &self.sent_bytes,
        };
        family.get_or_create(&Method { method }).inc_by(count as u64);
    }

    /// How many calls of `method` ended with `code`.
    #[cfg(test)]
    pub fn count(&self, method: &str, code: Code) -> u64 {
        let ended = Ended { method: self.method(method), code: code_name(code) };
        self.calls.get(&ended).map_or(0, |counter| counter.get())
    }
}

/// The name gRPC has for a code.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_we_do_not_have_share_one_name() {
        let metrics = CallMetrics::default();
        let read = "/google.bytestream.ByteStream/Read";
        assert_eq!(metrics.method(read), "google.bytestream.ByteStream/Read");
        assert_eq!(metrics.method("/grpc.health.v1.Health/Check"), "grpc.health.v1.Health/Check");
        assert_eq!(metrics.method("/made.up/Name"), UNKNOWN);
        assert_eq!(metrics.method(""), UNKNOWN);
    }
}
