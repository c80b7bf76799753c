//! A client that costs as little as it can: requests are encoded before the clock starts, and answers are looked
//! at only as far as it takes to know that they are right.

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use tonic::Status;
use tonic::client::Grpc;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};

/// One HTTP/2 connection.
#[derive(Clone)]
pub struct Connection {
    grpc: Grpc<Channel>,
}

impl Connection {
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(url.to_owned())?
            .tcp_nodelay(true)
            .initial_stream_window_size(8 << 20)
            .initial_connection_window_size(32 << 20)
            .connect()
            .await?;
        let grpc = Grpc::new(channel).max_decoding_message_size(64 << 20).max_encoding_message_size(64 << 20);
        Ok(Self { grpc })
    }

    /// A call with one request and one answer.
    pub async fn unary(&self, path: &'static str, request: Bytes) -> Result<Bytes, Status> {
        let mut grpc = self.ready().await?;
        let request = tonic::Request::new(Message::from(request));
        Ok(grpc.unary(request, PathAndQuery::from_static(path), Raw).await?.into_inner())
    }

    /// A call with one request and a stream of answers; `see` gets each.
    pub async fn server_streaming(
        &self,
        path: &'static str,
        request: Bytes,
        mut see: impl FnMut(Bytes),
    ) -> Result<(), Status> {
        let mut grpc = self.ready().await?;
        let request = tonic::Request::new(Message::from(request));
        let answers = grpc.server_streaming(request, PathAndQuery::from_static(path), Raw).await?;
        let mut answers = answers.into_inner();
        while let Some(answer) = answers.message().await? {
            see(answer);
        }
        Ok(())
    }

    /// A call with a stream of requests and one answer.
    pub async fn client_streaming(
        &self,
        path: &'static str,
        requests: impl Iterator<Item = Message> + Send + 'static,
    ) -> Result<Bytes, Status> {
        let mut grpc = self.ready().await?;
        let requests = tonic::Request::new(tokio_stream::iter(requests));
        Ok(grpc.client_streaming(requests, PathAndQuery::from_static(path), Raw).await?.into_inner())
    }

    async fn ready(&self) -> Result<Grpc<Channel>, Status> {
        let mut grpc = self.grpc.clone();
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(grpc)
    }
}

/// An encoded message in two pieces, the second of which need not be copied to be one with the first.
pub struct Message {
    pub head: Bytes,
    pub body: Bytes,
}

impl From<Bytes> for Message {
    fn from(head: Bytes) -> Self {
        Self { head, body: Bytes::new() }
    }
}

/// Messages as the bytes they are.
struct Raw;

impl Codec for Raw {
    type Encode = Message;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

/// Messages of a stream are sent when this much has come together.
const BUFFER: usize = 256 << 10;

impl Encoder for Raw {
    type Item = Message;
    type Error = Status;

    fn encode(&mut self, item: Message, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item.head);
        buffer.put(item.body);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, BUFFER)
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, BUFFER)
    }
}
