//! Clients that speak HTTP/2 by hand, as no library would.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tonic::Status;
use tonic::transport::Channel;
use tower::{Service, ServiceExt};

use crate::support::waiting::within;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const CONTINUATION: u8 = 9;
pub const END_HEADERS: u8 = 4;
pub const END_STREAM: u8 = 1;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// What a client says before anything else.
pub fn greeting() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// The headers of a call, without compression.
pub fn headers(path: &str) -> Vec<u8> {
    // POST, and http.
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(":path", path), (":authority", "x"), ("content-type", "application/grpc")] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// A connection from one of the addresses of this machine.
pub async fn connect(server: &str, from: [u8; 4]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(IpAddr::from(from), 0)).unwrap();
    within("a connection", socket.connect(server.parse().unwrap())).await.unwrap()
}

/// Returns once the server has ended a connection.
pub async fn until_closed(connection: &mut TcpStream) {
    let mut buffer = [0; 4096];
    let reading = async { while !matches!(connection.read(&mut buffer).await, Ok(0) | Err(_)) {} };
    within("the server to end a connection", reading).await;
}

/// Writes as much as the server takes.
pub async fn write_all(connection: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    within("the server to read", connection.write_all(bytes)).await
}

/// A batch of which the client has announced more than it ever sends, and how it ends.
pub async fn unfinished_call(mut channel: Channel, announced: u32, sent: usize) -> Status {
    let head = [&[0][..], &announced.to_be_bytes()].concat();
    let pieces = (0..sent >> 20).map(|_| Bytes::from_static(&[0; 1 << 20]));
    let pieces = stream::iter(std::iter::once(Bytes::from(head)).chain(pieces)).chain(stream::pending());
    let body = StreamBody::new(pieces.map(|piece| Ok::<_, Infallible>(Frame::data(piece))));
    let method = "/build.bazel.remote.execution.v2.ContentAddressableStorage/BatchUpdateBlobs";
    let request = http::Request::post(method)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(body.map_err(|never| match never {})))
        .unwrap();
    let response = match channel.ready().await.unwrap().call(request).await {
        Ok(response) => response,
        Err(error) => return Status::unknown(error.to_string()),
    };
    if let Some(status) = Status::from_header_map(response.headers()) {
        return status;
    }
    let body = response.into_body().collect().await.unwrap();
    Status::from_header_map(body.trailers().expect("a call ends with a status")).unwrap()
}
