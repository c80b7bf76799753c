//! What monitoring gets to see.

use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::server::Server;

/// The value of a metric with these labels.
fn metric(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in:\n{text}")).parse().unwrap()
}

#[test]
fn health_and_readiness_are_told_over_http() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path).0, "HTTP/1.1 200 OK", "{path}");
    }
    assert_eq!(server.get("/nothing").0, "HTTP/1.1 404 Not Found");
}

#[tokio::test]
async fn health_is_told_over_grpc_for_each_service() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let mut client = HealthClient::new(server.channel().await);
    for service in [
        "",
        "build.bazel.remote.execution.v2.Capabilities",
        "build.bazel.remote.execution.v2.ContentAddressableStorage",
        "build.bazel.remote.execution.v2.ActionCache",
        "build.bazel.remote.execution.v2.Execution",
        "google.bytestream.ByteStream",
        "google.longrunning.Operations",
    ] {
        let answer = client.check(HealthCheckRequest { service: service.into() }).await.unwrap();
        assert_eq!(answer.into_inner().status, ServingStatus::Serving as i32, "{service}");
    }
    let unknown = client.check(HealthCheckRequest { service: "made.up".into() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn calls_are_counted_by_method_and_code() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let mut client = HealthClient::new(server.channel().await);
    for _ in 0..3 {
        client.check(HealthCheckRequest { service: String::new() }).await.unwrap();
    }
    client.check(HealthCheckRequest { service: "made.up".into() }).await.unwrap_err();
    let (_, text) = server.get("/metrics");
    let check = r#"method="grpc.health.v1.Health/Check""#;
    assert_eq!(metric(&text, &format!("crosswheel_calls_total{{{check},code=\"OK\"}}")), 3.0);
    assert_eq!(metric(&text, &format!("crosswheel_calls_total{{{check},code=\"NOT_FOUND\"}}")), 1.0);
    assert_eq!(metric(&text, &format!("crosswheel_call_seconds_count{{{check},code=\"OK\"}}")), 3.0);
    assert_eq!(metric(&text, &format!("crosswheel_calls_in_flight{{{check}}}")), 0.0);
    assert!(metric(&text, &format!("crosswheel_call_received_bytes_total{{{check}}}")) > 0.0);
    assert!(metric(&text, &format!("crosswheel_call_sent_bytes_total{{{check}}}")) > 0.0);
    assert_eq!(
        metric(&text, &format!("crosswheel_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))),
        1.0
    );
}
