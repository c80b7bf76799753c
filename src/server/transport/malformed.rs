//! Makes what the generated servers say about requests they cannot decode the client's fault. Knows no service.
//!
//! tonic answers such a request with INTERNAL, as if we had failed; clients retry that, and people look for the
//! fault on the wrong side.

use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use tonic::{Code, Status};

use crate::reapi::DECODE_ERROR_PREFIX;
use crate::status::invalid;

/// To be put around the router of all services: requests that are no well-formed messages are answered with
/// INVALID_ARGUMENT that names the method and the field.
#[derive(Debug, Clone, Copy, Default)]
pub struct RefuseMalformed;

impl<S> tower::Layer<S> for RefuseMalformed {
    type Service = RefusingMalformed<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RefusingMalformed { inner }
    }
}

/// A service with [`RefuseMalformed`] around it.
#[derive(Debug, Clone)]
pub struct RefusingMalformed<S> {
    inner: S,
}

impl<S, B, R> tower::Service<http::Request<B>> for RefusingMalformed<S>
where
    S: tower::Service<http::Request<B>, Response = http::Response<R>>,
    S::Future: Send + 'static,
{
    type Response = http::Response<R>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let uri = request.uri().clone();
        let response = self.inner.call(request);
        response.map(move |response| response.map(|response| reworded(uri.path(), response))).boxed()
    }
}

/// Such a refusal comes before anything else of the response, so it is in the headers.
fn reworded<R>(method: &str, mut response: http::Response<R>) -> http::Response<R> {
    if let Some(problem) = problem(response.headers()) {
        let field = format!("request of {}", method.trim_start_matches('/'));
        let headers = response.headers_mut();
        for header in [Status::GRPC_STATUS, Status::GRPC_MESSAGE, Status::GRPC_STATUS_DETAILS] {
            headers.remove(header);
        }
        // It cannot fail: the message is percent-encoded, the details are base64.
        let _ = invalid(field, problem).add_header(headers);
    }
    response
}

/// What is wrong with the request, if that is what the headers of a response say.
fn problem(headers: &HeaderMap) -> Option<String> {
    if headers.get(Status::GRPC_STATUS)?.as_bytes() != b"13" {
        return None;
    }
    let status = Status::from_header_map(headers)?;
    let message = status.message();
    if status.code() != Code::Internal {
        return None;
    }
    if let Some(problem) = message.strip_prefix(DECODE_ERROR_PREFIX) {
        return Some(format!("is not a well-formed message: {problem}"));
    }
    BROKEN_STREAMS.contains(&message).then(|| "has no complete message".to_owned())
}

/// What tonic says of a stream without a message and of one that ends in the middle of one.
const BROKEN_STREAMS: [&str; 2] = ["Missing request message.", "Unexpected EOF decoding stream."];

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt;

    use super::*;

    fn response(status: Status) -> http::Response<()> {
        reworded("/a.B/C", status.into_http())
    }

    #[test]
    fn what_cannot_be_decoded_is_the_clients_fault_and_named() {
        let status = Status::internal(format!("{DECODE_ERROR_PREFIX}Digest.hash: invalid wire type"));
        let reworded = Status::from_header_map(response(status).headers()).unwrap();
        assert_eq!(reworded.code(), Code::InvalidArgument);
        assert!(reworded.message().contains("a.B/C"), "{reworded}");
        let details = reworded.get_details_bad_request().unwrap();
        assert!(details.field_violations[0].description.contains("Digest.hash"), "{details:?}");
    }

    #[test]
    fn failures_of_our_own_stay_ours() {
        let response = response(Status::internal("the disk is on fire"));
        assert_eq!(Status::from_header_map(response.headers()).unwrap().code(), Code::Internal);
    }
}
