//! Clients that open connections and do nothing with them, or too much.

use crosswheel::reapi::GetCapabilitiesRequest;
use crosswheel::reapi::capabilities_client::CapabilitiesClient;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tonic::transport::Channel;

use super::raw::{
    CONTINUATION, DATA, END_HEADERS, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, connect, frame, greeting,
    headers, until_closed, write_all,
};
use crate::support::server::Server;
use crate::support::waiting::{eventually, pause_here, within};

async fn is_served(channel: &Channel) -> bool {
    let mut client = CapabilitiesClient::new(channel.clone());
    client.get_capabilities(GetCapabilitiesRequest::default()).await.is_ok()
}

fn resident_mib(server: &Server) -> usize {
    let status = fs_err::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() >> 10
}

/// Whether they say nothing, half of the greeting, all of it, or half of a call.
#[tokio::test]
async fn half_open_connections_are_ended_and_those_in_use_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--first-call-timeout", "300ms"]);
    let used = server.channel().await;
    assert!(is_served(&used).await);
    let half_a_call = [greeting(), frame(HEADERS, END_HEADERS, 1, &headers("/x"))[..20].to_vec()].concat();
    let mut connections = Vec::new();
    for said in [Vec::new(), PREFACE[..10].to_vec(), greeting(), half_a_call] {
        for _ in 0..10 {
            let mut connection = connect(server.address(), [127, 0, 0, 1]).await;
            write_all(&mut connection, &said).await.unwrap();
            connections.push(connection);
        }
    }
    for connection in &mut connections {
        until_closed(connection).await;
    }
    assert!(is_served(&used).await);
}

#[tokio::test]
async fn a_call_that_drips_in_byte_by_byte_is_ended() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &["--first-call-timeout", "300ms"]);
    let mut connection = connect(server.address(), [127, 0, 0, 1]).await;
    let dripping = [greeting(), frame(HEADERS, 0, 1, &[0; 10_000])].concat();
    for byte in dripping {
        if write_all(&mut connection, &[byte]).await.is_err() {
            return;
        }
        pause_here(std::time::Duration::from_millis(5)).await;
    }
    panic!("10 kB came in one by one, and the server read them all");
}

#[tokio::test]
async fn one_client_cannot_take_the_connections_of_others() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["--max-connections", "4", "--max-connections-per-client", "3"];
    let server = Server::start(directory.path(), &arguments);
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(connect(server.address(), [127, 0, 0, 1]).await);
    }
    for _ in 0..20 {
        until_closed(&mut connect(server.address(), [127, 0, 0, 1]).await).await;
    }
    assert!(is_served(&server.channel_from([127, 0, 0, 2].into()).await).await);
    held.pop();
    let again = async || answers(connect(server.address(), [127, 0, 0, 1]).await).await;
    eventually("the place of a connection that has ended", again).await;
}

/// Whether the server greets back.
async fn answers(mut connection: TcpStream) -> bool {
    let greeted = write_all(&mut connection, &greeting()).await;
    let mut byte = [0];
    greeted.is_ok() && matches!(within("an answer", connection.read(&mut byte)).await, Ok(1))
}

#[tokio::test]
async fn idle_connections_to_the_metrics_keep_nobody_out() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let address = server.start["http"].as_str().unwrap();
    let mut held = Vec::new();
    for _ in 0..32 {
        held.push(connect(address, [127, 0, 0, 2]).await);
    }
    until_closed(&mut connect(address, [127, 0, 0, 2]).await).await;
    assert_eq!(server.get("/healthz").0, "HTTP/1.1 200 OK");
}

/// Sends it, until the server has had enough or there is no more; the server has to serve others meanwhile, with
/// little more memory.
async fn flood(name: &str, frames: impl Iterator<Item = Vec<u8>>) {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let other = server.channel_from([127, 0, 0, 2].into()).await;
    assert!(is_served(&other).await);
    let before = resident_mib(&server);
    let mut connection = connect(server.address(), [127, 0, 0, 1]).await;
    let (mut reading, mut writing) = connection.split();
    let flooding = async {
        let mut bytes = greeting();
        for frame in frames {
            bytes.extend_from_slice(&frame);
            if bytes.len() > 1 << 16
                && tokio::io::AsyncWriteExt::write_all(&mut writing, &bytes).await.is_err()
            {
                return "ended";
            }
            if bytes.len() > 1 << 16 {
                bytes.clear();
            }
        }
        "endured"
    };
    let draining = async {
        let mut buffer = vec![0; 1 << 16];
        while !matches!(reading.read(&mut buffer).await, Ok(0) | Err(_)) {}
        "ended"
    };
    let how = within("the flood", async {
        tokio::select! { how = flooding => how, how = draining => how }
    })
    .await;
    assert!(is_served(&other).await);
    let grown = resident_mib(&server).saturating_sub(before);
    println!("{name}: {how}, {grown} MiB");
    assert!(grown < 160, "{name}: {grown} MiB");
}

#[tokio::test]
async fn calls_that_are_broken_off_at_once_do_no_harm() {
    let call = headers("/build.bazel.remote.execution.v2.Capabilities/GetCapabilities");
    let frames = (0..100_000_u32).map(|number| {
        let stream = 2 * number + 1;
        [frame(HEADERS, END_HEADERS, stream, &call), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())]
            .concat()
    });
    flood("rapid reset", frames).await;
}

#[tokio::test]
async fn headers_without_an_end_do_no_harm() {
    let first = std::iter::once(frame(HEADERS, 0, 1, &headers("/x")));
    // A literal that is not remembered, again and again.
    let more = [vec![0, 1, b'a', 100], vec![b'x'; 100]].concat().repeat(100);
    let frames = first.chain((0..10_000).map(move |_| frame(CONTINUATION, 0, 1, &more)));
    flood("continuation", frames).await;
}

#[tokio::test]
async fn pings_settings_and_empty_pieces_without_an_end_do_no_harm() {
    flood("pings", (0..300_000).map(|_| frame(PING, 0, 0, &[0; 8]))).await;
    flood("settings", (0..300_000).map(|_| frame(SETTINGS, 0, 0, &[]))).await;
    let call = headers("/google.bytestream.ByteStream/Write");
    let first = std::iter::once(frame(HEADERS, END_HEADERS, 1, &call));
    flood("empty pieces", first.chain((0..300_000).map(|_| frame(DATA, 0, 1, &[])))).await;
}

/// A call that says nothing costs as much as one that waits.
#[tokio::test]
async fn calls_that_never_say_what_they_want_are_bounded_together() {
    let directory = tempfile::tempdir().unwrap();
    // And 16384 more, three quarters of which are for one client.
    let server = Server::start(directory.path(), &["--max-queued-actions", "4"]);
    let call = headers("/build.bazel.remote.execution.v2.ContentAddressableStorage/FindMissingBlobs");
    let calls = (0..8_000_u32).map(|number| frame(HEADERS, END_HEADERS, 2 * number + 1, &call));
    let calls: Vec<u8> = std::iter::once(greeting()).chain(calls).flatten().collect();
    let mut connections = Vec::new();
    for _ in 0..2 {
        let mut connection = connect(server.address(), [127, 0, 0, 2]).await;
        write_all(&mut connection, &calls).await.unwrap();
        connections.push(connection);
    }
    let method = "build.bazel.remote.execution.v2.ContentAddressableStorage/FindMissingBlobs";
    let in_flight = format!("crosswheel_calls_in_flight{{method=\"{method}\"}} 12291\n");
    let refused = format!("crosswheel_calls_total{{method=\"{method}\",code=\"RESOURCE_EXHAUSTED\"}} 3709\n");
    let bounded = async || {
        let (_, metrics) = server.get("/metrics");
        metrics.contains(&in_flight) && metrics.contains(&refused)
    };
    eventually("calls to be refused", bounded).await;
    assert!(is_served(&server.channel().await).await);
}
