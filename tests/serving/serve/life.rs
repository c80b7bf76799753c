//! How a server starts and ends.

use rustix::process::Signal;

use crate::support::server::{Server, serve_command};
use crate::support::waiting::{DEADLINE, InTime, within};

#[test]
fn sigterm_and_ctrl_c_end_it_with_exit_code_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::start(directory.path(), &[]);
        server.signal(signal);
        assert_eq!(server.exit().code(), Some(0), "{signal:?}");
    }
}

#[test]
fn a_second_server_on_the_same_store_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let store = server.start["store"].as_str().unwrap();
    let second = serve_command(&["--listen", "127.0.0.1:0", "--http-listen", "off", "--store", store]);
    let output = { second }.output_in_time();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains(store), "{error}");
}

#[test]
fn a_second_server_on_the_same_address_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let store = directory.path().join("other");
    let store = store.to_str().unwrap();
    let second = serve_command(&["--listen", server.address(), "--http-listen", "off", "--store", store]);
    let output = { second }.output_in_time();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = String::from_utf8_lossy(&output.stderr);
    let address = server.address();
    assert!(error.contains(&format!("cannot listen on {address}: another process does")), "{error}");
}

#[test]
fn what_it_says_when_it_starts_has_all_one_needs_to_use_it() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--pool", "one,slots=3,color=blue"]);
    let start = &server.start;
    assert_eq!(start["ready"], true);
    let pool = &start["pools"][0];
    assert_eq!((pool["name"].as_str(), pool["slots"].as_u64()), (Some("one"), Some(3)));
    let properties = pool["properties"].as_array().unwrap();
    let value = |name: &str| {
        let property = properties.iter().find(|property| property["name"] == name);
        property.unwrap_or_else(|| panic!("no {name} in {pool}"))["value"].as_str().unwrap()
    };
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    assert_eq!((value("Arch"), value("OSFamily"), value("color")), (arch, "Linux", "blue"));
    assert!(value("libc").starts_with("glibc-2."), "{pool}");
}

#[tokio::test]
async fn it_serves_on_unix_sockets_too() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let address = format!("unix:{}", socket.display());
    let server = Server::start(directory.path(), &["--listen", &address]);
    let listen: Vec<_> =
        server.start["listen"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert!(listen.contains(&address.as_str()), "{listen:?}");
    let endpoint = tonic::transport::Endpoint::try_from("http://unix").unwrap().timeout(DEADLINE);
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { tokio::net::UnixStream::connect(socket).await.map(hyper_util::rt::TokioIo::new) }
    });
    let channel = within("a connection", endpoint.connect_with_connector(connector)).await.unwrap();
    let request = tonic_health::pb::HealthCheckRequest { service: String::new() };
    let health = tonic_health::pb::health_client::HealthClient::new(channel).check(request).await.unwrap();
    assert_eq!(
        health.into_inner().status,
        tonic_health::pb::health_check_response::ServingStatus::Serving as i32
    );
}
