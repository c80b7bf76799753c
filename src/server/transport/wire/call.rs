//! Calls whose messages are bytes, and the one way from them to blocking code.

use std::future::Future;
use std::pin::Pin;

use bytes::{Buf, BufMut, Bytes};
use futures_util::Stream;
use http_body_util::StreamBody;
use tonic::body::Body;
use tonic::codec::{
    BufferSettings, Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder, Streaming,
};
use tonic::server::{ClientStreamingService, Grpc, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};

use crate::server::transport::budget::Held;
use crate::status;

/// The largest request message that is read, in bytes. Batches may be much smaller (see
/// [`MAX_BATCH_BYTES`](crate::server::storage::settings::MAX_BATCH_BYTES)); a list of digests may need this much.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// A piece of the body of a response.
pub(crate) type Frame = http_body::Frame<Bytes>;

/// A call as it comes.
pub(crate) type HttpRequest = http::Request<Body>;
/// The answer to a call.
pub(crate) type HttpResponse = http::Response<Body>;

/// The name of the method that is called, of `/package.Service/Method`.
pub(crate) fn method(request: &HttpRequest) -> &str {
    request.uri().path().rsplit('/').next().unwrap_or_default()
}

/// The answer to the call of a method that does not exist.
pub(crate) fn unimplemented(request: &HttpRequest) -> HttpResponse {
    Status::unimplemented(format!("there is no method {}", request.uri().path())).into_http()
}

/// Answers a call with one request and one response.
pub(crate) async fn unary<F, R>(request: HttpRequest, handler: F) -> HttpResponse
where
    F: FnOnce(Request<Bytes>) -> R + Send,
    R: Future<Output = Result<Bytes, Status>> + Send + 'static,
{
    grpc().unary(Handler(Some(handler)), request).await
}

/// Answers a call with one request and a stream of responses.
pub(crate) async fn server_streaming<F, R, S>(request: HttpRequest, handler: F) -> HttpResponse
where
    F: FnOnce(Request<Bytes>) -> R + Send,
    R: Future<Output = Result<S, Status>> + Send + 'static,
    S: Stream<Item = Result<Bytes, Status>> + Send + 'static,
{
    grpc().server_streaming(StreamHandler(Some(handler)), request).await
}

/// Answers a call with a stream of requests and one response.
pub(crate) async fn client_streaming<F, R>(request: HttpRequest, handler: F) -> HttpResponse
where
    F: FnOnce(Request<Streaming<Bytes>>) -> R + Send,
    R: Future<Output = Result<Bytes, Status>> + Send + 'static,
{
    grpc().client_streaming(Handler(Some(handler)), request).await
}

/// The one request of a call whose response is not made by the functions above.
pub(crate) async fn single_request(request: HttpRequest) -> Result<Bytes, Status> {
    let mut requests = Streaming::new_request(BytesCodec, request.into_body(), None, Some(MAX_MESSAGE_BYTES));
    requests.message().await?.ok_or_else(|| status::invalid("request", "is missing"))
}

/// A response of one message.
pub(crate) fn single(message: &[u8]) -> HttpResponse {
    let mut framed = Vec::with_capacity(5 + message.len());
    framed.push(0);
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(message);
    let trailers = http::HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        http::HeaderValue::from_static("0"),
    )]);
    let frames = [Ok(Frame::data(framed.into())), Ok(Frame::trailers(trailers))];
    streamed(futures_util::stream::iter(frames))
}

/// A response whose body, trailers included, is made by `frames`.
pub(crate) fn streamed<S>(frames: S) -> HttpResponse
where
    S: Stream<Item = Result<Frame, Status>> + Send + 'static,
{
    let mut response = http::Response::new(Body::new(StreamBody::new(frames)));
    response.headers_mut().insert(http::header::CONTENT_TYPE, tonic::metadata::GRPC_CONTENT_TYPE);
    response
}

/// Decodes a request that is not worth reading by hand; `name` is that of its message.
pub(crate) fn decode<M: prost::Message + Default>(name: &str, bytes: Bytes) -> Result<M, Status> {
    M::decode(bytes).map_err(|error| status::malformed(name, &error))
}

/// What a call has of the memory for all calls; nothing if nobody counts.
pub(crate) fn held(request: &Request<Bytes>) -> Option<Held> {
    request.extensions().get::<Held>().cloned()
}

/// Runs code that may wait for a disk or work for long on a thread made for that.
pub(crate) async fn blocking<T, F>(work: F) -> Result<T, Status>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Status> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(Status::internal("the server failed in the middle of this request; its log says why")),
    }
}

/// Requests may come compressed. Responses never are: clients that could read them need not mean to (gRPC for Java
/// always says that it could), and what is worth it is compressed by the API itself.
fn grpc() -> Grpc<BytesCodec> {
    Grpc::new(BytesCodec)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
}

struct Handler<F>(Option<F>);

struct StreamHandler<F>(Option<F>);

const ONCE: &str = "a handler is called once per request";

type Answer<T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send>>;

impl<F, R> UnaryService<Bytes> for Handler<F>
where
    F: FnOnce(Request<Bytes>) -> R,
    R: Future<Output = Result<Bytes, Status>> + Send + 'static,
{
    type Response = Bytes;
    type Future = Answer<Bytes>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let held = held(&request);
        // A request that came compressed is larger by now.
        let fits = held.as_ref().map_or(Ok(()), |held| held.grow_to(request.get_ref().len()));
        if let Err(refusal) = fits {
            return Box::pin(std::future::ready(Err(refusal)));
        }
        let answer = self.0.take().expect(ONCE)(request);
        Box::pin(async move {
            let answer = answer.await?;
            // A client may take its time to read it, or not read it at all.
            held.map_or(Ok(()), |held| held.answer(answer.len()))?;
            Ok(Response::new(answer))
        })
    }
}

impl<F, R> ClientStreamingService<Bytes> for Handler<F>
where
    F: FnOnce(Request<Streaming<Bytes>>) -> R,
    R: Future<Output = Result<Bytes, Status>> + Send + 'static,
{
    type Response = Bytes;
    type Future = Answer<Bytes>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let answer = self.0.take().expect(ONCE)(request);
        Box::pin(async move { answer.await.map(Response::new) })
    }
}

impl<F, R, S> ServerStreamingService<Bytes> for StreamHandler<F>
where
    F: FnOnce(Request<Bytes>) -> R,
    R: Future<Output = Result<S, Status>> + Send + 'static,
    S: Stream<Item = Result<Bytes, Status>> + Send + 'static,
{
    type Response = Bytes;
    type ResponseStream = S;
    type Future = Answer<S>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let answer = self.0.take().expect(ONCE)(request);
        Box::pin(async move { answer.await.map(Response::new) })
    }
}

/// Messages are bytes, and bytes are messages.
#[derive(Debug, Clone, Copy)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
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

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(item.len());
        out.put_slice(&item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        // Most responses are a few hundred bytes, and the buffer is allocated for each.
        BufferSettings::new(512, 32 << 10)
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(512, 32 << 10)
    }
}
