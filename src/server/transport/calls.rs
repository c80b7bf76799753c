//! What all calls have in common, whichever service they are for: they are counted and timed, and a bug in one
//! of them is an answer (`INTERNAL`) rather than a connection that dies. Knows nothing of what is called.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::budget::{Budget, Held};
use super::peer::{InFlight, Peer, client_of};
use super::request_body::RequestBody;
use crate::server::monitoring::metrics::{CallMetrics, Direction};
use crate::status::later;

/// Wraps every service of a server.
#[derive(Debug, Clone)]
pub struct CallLayer {
    metrics: Arc<CallMetrics>,
    budgets: Budgets,
}

/// What all calls together may have.
#[derive(Debug, Clone)]
pub(crate) struct Budgets {
    /// Bytes of requests that are being received and of answers that wait to be sent.
    pub call_bytes: Arc<Budget>,
    /// Calls in flight.
    pub calls: Arc<Budget>,
    /// Of those, the ones that have a file open.
    pub transfers: Arc<Budget>,
}

impl CallLayer {
    /// A layer that counts in `metrics`, around services whose calls together have no more than `budgets`.
    pub(crate) fn new(metrics: Arc<CallMetrics>, budgets: Budgets) -> Self {
        Self { metrics, budgets }
    }
}

impl<S> Layer<S> for CallLayer {
    type Service = CallService<S>;

    fn layer(&self, inner: S) -> CallService<S> {
        CallService { inner, metrics: Arc::clone(&self.metrics), budgets: self.budgets.clone() }
    }
}

/// Made by [`CallLayer`].
#[derive(Debug, Clone)]
pub struct CallService<S> {
    inner: S,
    metrics: Arc<CallMetrics>,
    budgets: Budgets,
}

impl<S, B> Service<Request<tonic::body::Body>> for CallService<S>
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body<Data = Bytes, Error = Status> + Send + 'static,
{
    type Response = Response<tonic::body::Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let client = client_of(request.extensions());
        let in_flight = request.extensions().get().map(Peer::begin_call);
        let mut call = Call::begin(Arc::clone(&self.metrics), request.uri().path(), in_flight);
        if let Err(refusal) = self.budgets.take(&mut call, &client) {
            call.end(refusal.code());
            return std::future::ready(Ok(refusal.into_http())).boxed();
        }
        let metrics = Arc::clone(&self.metrics);
        let method = call.method;
        let held = self.budgets.call_bytes.hold(client);
        let mut request =
            request.map(|body| tonic::body::Body::new(RequestBody::new(body, metrics, method, held.clone())));
        // Who decodes a request knows better than we how large it is.
        request.extensions_mut().insert(held.clone());
        let answer = self.inner.call(request);
        async move {
            match AssertUnwindSafe(answer).catch_unwind().await {
                Ok(Ok(response)) => {
                    held.answered();
                    call.held.push(held);
                    Ok(call.follow(response))
                }
                Ok(Err(error)) => {
                    call.end(Code::Unknown);
                    Err(error)
                }
                Err(panic) => {
                    let status = bug(method, panic.as_ref());
                    call.end(status.code());
                    Ok(status.into_http())
                }
            }
        }
        .boxed()
    }
}

impl Budgets {
    /// Gives a call what it takes from its first to its last byte.
    fn take(&self, call: &mut Call, client: &Arc<str>) -> Result<(), Status> {
        let transfers = TRANSFERS.contains(&call.method).then_some(&self.transfers);
        for budget in std::iter::once(&self.calls).chain(transfers) {
            let held = budget.hold(Arc::clone(client));
            held.grow(1)?;
            call.held.push(held);
        }
        Ok(())
    }
}

/// Calls that keep a file open, for as long as the client likes.
const TRANSFERS: [&str; 2] = ["google.bytestream.ByteStream/Write", "google.bytestream.ByteStream/Read"];

/// One call, from its first to its last byte.
#[derive(Debug)]
struct Call {
    metrics: Arc<CallMetrics>,
    method: &'static str,
    started: Instant,
    ended: bool,
    held: Vec<Held>,
    /// For the connection.
    _in_flight: Option<InFlight>,
}

impl Call {
    fn begin(metrics: Arc<CallMetrics>, path: &str, in_flight: Option<InFlight>) -> Self {
        let method = metrics.method(path);
        metrics.begin(method);
        Self {
            metrics,
            method,
            started: Instant::now(),
            ended: false,
            held: Vec::new(),
            _in_flight: in_flight,
        }
    }

    fn end(mut self, code: Code) {
        self.end_once(code);
    }

    fn end_once(&mut self, code: Code) {
        if !std::mem::replace(&mut self.ended, true) {
            let elapsed = self.started.elapsed();
            self.metrics.end(self.method, code, elapsed);
            tracing::debug!(method = self.method, ?code, ?elapsed, "call");
        }
    }

    /// The call goes on as long as its answer is being sent.
    fn follow<B>(self, response: Response<B>) -> Response<tonic::body::Body>
    where
        B: Body<Data = Bytes, Error = Status> + Send + 'static,
    {
        // An answer without a body has its status in the headers.
        if let Some(code) = code_in(response.headers()) {
            self.end(code);
            return response.map(tonic::body::Body::new);
        }
        response.map(|body| tonic::body::Body::new(Answer { body: Box::pin(body), call: self }))
    }
}

impl Drop for Call {
    /// The client has gone away, or has seen enough.
    fn drop(&mut self) {
        self.end_once(Code::Cancelled);
    }
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    Some(Code::from_bytes(headers.get("grpc-status")?.as_bytes()))
}

/// How Tokio panics that has no thread for what blocks, and gets none.
const NO_THREADS: &str = "OS can't spawn worker thread";

fn bug(method: &str, panic: &(dyn Any + Send)) -> Status {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    if message.contains(NO_THREADS) {
        tracing::error!(method, message, "a call could not be answered");
        return later(Code::Unavailable, "this machine is short of threads; ask again later");
    }
    tracing::error!(method, message, "a bug in crosswheel: please report it");
    Status::internal(format!("a bug in crosswheel, which its log says more about: {message}"))
}

/// The bytes of an answer, and the status at its end.
struct Answer<B> {
    body: Pin<Box<B>>,
    call: Call,
}

impl<B: Body<Data = Bytes, Error = Status>> Body for Answer<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.call.ended {
            return Poll::Ready(None);
        }
        let this = &mut *self;
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| this.body.as_mut().poll_frame(context)));
        let polled = polled.unwrap_or_else(|panic| {
            let status = bug(this.call.method, panic.as_ref());
            let mut trailers = HeaderMap::new();
            Poll::Ready(Some(match status.add_header(&mut trailers) {
                Ok(()) => Ok(Frame::trailers(trailers)),
                Err(status) => Err(status),
            }))
        });
        match &polled {
            Poll::Pending => {}
            Poll::Ready(None) => this.call.end_once(Code::Unknown),
            Poll::Ready(Some(Err(status))) => this.call.end_once(status.code()),
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    this.call.metrics.bytes(this.call.method, Direction::Sent, data.len());
                } else if let Some(code) = frame.trailers_ref().and_then(code_in) {
                    this.call.end_once(code);
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.call.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn layer(metrics: &Arc<CallMetrics>) -> CallLayer {
        let budget = || Budget::new(1 << 20, "things", "a setting");
        let budgets = Budgets { call_bytes: budget(), calls: budget(), transfers: budget() };
        CallLayer::new(Arc::clone(metrics), budgets)
    }

    /// What a service made of `answer` says to a call of `ByteStream.Read`.
    async fn answer(
        answer: impl Fn() -> Response<tonic::body::Body> + Clone + Send + 'static,
    ) -> (Code, Arc<CallMetrics>) {
        let metrics = Arc::new(CallMetrics::default());
        let service = tower::service_fn(move |_: Request<tonic::body::Body>| {
            let answer = answer.clone();
            async move { Ok::<_, std::convert::Infallible>(answer()) }
        });
        let request = Request::post("/google.bytestream.ByteStream/Read").body(tonic::body::Body::empty());
        let response = layer(&metrics).layer(service).call(request.unwrap()).await.unwrap();
        let in_headers = code_in(response.headers());
        let body = response.into_body().collect().await.unwrap();
        let code = in_headers.or_else(|| body.trailers().and_then(code_in)).unwrap();
        (code, metrics)
    }

    /// A body that panics when it is read.
    struct Faulty;

    impl Body for Faulty {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            panic!("out of luck")
        }
    }

    #[tokio::test]
    async fn a_panic_before_or_in_the_answer_is_an_internal_error() {
        let (code, metrics) = answer(|| panic!("out of luck")).await;
        assert_eq!(code, Code::Internal);
        assert_eq!(metrics.count("google.bytestream.ByteStream/Read", Code::Internal), 1);
        let (code, metrics) = answer(|| Response::new(tonic::body::Body::new(Faulty))).await;
        assert_eq!(code, Code::Internal);
        assert_eq!(metrics.count("google.bytestream.ByteStream/Read", Code::Internal), 1);
    }

    #[tokio::test]
    async fn an_answer_nobody_reads_to_its_end_was_cancelled() {
        let metrics = Arc::new(CallMetrics::default());
        let service = tower::service_fn(|_: Request<tonic::body::Body>| async {
            Ok::<_, std::convert::Infallible>(Response::new(tonic::body::Body::new(Faulty)))
        });
        let request = Request::post("/google.bytestream.ByteStream/Read").body(tonic::body::Body::empty());
        let response = layer(&metrics).layer(service).call(request.unwrap()).await;
        drop(response);
        assert_eq!(metrics.count("google.bytestream.ByteStream/Read", Code::Cancelled), 1);
    }
}
