//! Services that read and write their messages themselves, as tonic's router takes them. Knows none of them.

use std::convert::Infallible;
use std::future::Future;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tonic::server::NamedService;

use super::call::{HttpRequest, HttpResponse, method};
use crate::server::transport::request_metadata::log_call;

/// A service that gets its requests as bytes.
pub trait WireService: Clone + Send + 'static {
    /// Its name in the protocol, with the package.
    const NAME: &'static str;

    /// Answers a call of any of its methods; what is wrong with a call is part of the answer.
    fn answer(self, request: HttpRequest) -> impl Future<Output = HttpResponse> + Send;

    /// The service as a router takes it.
    fn served(self) -> Served<Self> {
        Served(self)
    }
}

/// A [`WireService`] to be added to a router. Each call is logged with who asks.
#[derive(Debug, Clone)]
pub struct Served<S>(S);

impl<S: WireService> NamedService for Served<S> {
    const NAME: &'static str = S::NAME;
}

impl<S: WireService> tower::Service<HttpRequest> for Served<S> {
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<HttpResponse, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest) -> Self::Future {
        let service = self.0.clone();
        async move {
            log_call(method(&request), request.headers());
            Ok(service.answer(request).await)
        }
        .boxed()
    }
}
