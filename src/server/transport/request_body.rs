//! The bytes of a request as they come in: counted, and bounded until somebody has read the message that they are part of.
//! Knows nothing of what is in the messages.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use tonic::Status;

use super::budget::Held;
use crate::server::monitoring::metrics::{CallMetrics, Direction};

/// How long a client may take for the next bytes in the middle of a message. Between messages it may take its time.
const STALLED: Duration = Duration::from_secs(60);

/// What comes before a message of gRPC: whether it is compressed, and its length.
const HEAD_BYTES: usize = 5;

/// The body of a request.
#[derive(Debug)]
pub(super) struct RequestBody {
    body: tonic::body::Body,
    metrics: Arc<CallMetrics>,
    method: &'static str,
    held: Held,
    messages: Messages,
    stalled: Option<Pin<Box<Sleep>>>,
}

/// How far the messages of a body have come.
#[derive(Debug, Default)]
struct Messages {
    head: Vec<u8>,
    /// Bytes of the message that are still to come.
    left: usize,
    /// Bytes of it that are here.
    here: usize,
    /// Bytes of those before it, which whoever asks for more has read.
    before: usize,
}

impl RequestBody {
    pub(super) fn new(
        body: tonic::body::Body,
        metrics: Arc<CallMetrics>,
        method: &'static str,
        held: Held,
    ) -> Self {
        Self { body, metrics, method, held, messages: Messages::default(), stalled: None }
    }

    fn take(&mut self, data: &[u8]) -> Result<(), Status> {
        self.metrics.bytes(self.method, Direction::Received, data.len());
        self.held.shrink(std::mem::take(&mut self.messages.before));
        self.held.grow(data.len())?;
        self.messages.take(data);
        Ok(())
    }

    /// Fails if a message does not go on.
    fn poll_stalled(&mut self, context: &mut Context<'_>) -> Result<(), Status> {
        if !self.messages.is_within_one() {
            return Ok(());
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALLED)));
        match stalled.as_mut().poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(Status::deadline_exceeded(format!(
                "nothing came for {} s in the middle of a message",
                STALLED.as_secs()
            ))),
        }
    }
}

impl Messages {
    fn take(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.left == 0 {
                let missing = (HEAD_BYTES - self.head.len()).min(data.len());
                let (head, rest) = data.split_at(missing);
                self.head.extend_from_slice(head);
                self.here += head.len();
                data = rest;
                if let [_, length @ ..] = &self.head[..]
                    && let Ok(length) = <[u8; 4]>::try_from(length)
                {
                    self.left = u32::from_be_bytes(length) as usize;
                    self.head.clear();
                    self.end_if_complete();
                }
            } else {
                let taken = self.left.min(data.len());
                self.left -= taken;
                self.here += taken;
                data = &data[taken..];
                self.end_if_complete();
            }
        }
    }

    fn end_if_complete(&mut self) {
        if self.left == 0 {
            self.before += std::mem::take(&mut self.here);
        }
    }

    fn is_within_one(&self) -> bool {
        self.here > 0
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Pending => {
                if let Err(status) = self.poll_stalled(context) {
                    return Poll::Ready(Some(Err(status)));
                }
            }
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(stalled) = &mut self.stalled {
                    stalled.as_mut().reset(Instant::now() + STALLED);
                }
                if let Some(data) = frame.data_ref()
                    && let Err(status) = self.take(data)
                {
                    return Poll::Ready(Some(Err(status)));
                }
            }
            Poll::Ready(_) => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_are_told_apart_however_they_are_cut(
            lengths in proptest::collection::vec(0_usize..40, 0..8),
            cut in 1_usize..30,
        ) {
            let mut wire = Vec::new();
            for length in &lengths {
                wire.push(0);
                wire.extend_from_slice(&u32::try_from(*length).unwrap().to_be_bytes());
                wire.extend(vec![7; *length]);
            }
            let mut messages = Messages::default();
            for piece in wire.chunks(cut) {
                messages.take(piece);
                prop_assert!(messages.before + messages.here <= wire.len());
            }
            prop_assert_eq!(messages.before, wire.len());
            prop_assert!(!messages.is_within_one());
            messages.take(&[0, 0]);
            prop_assert!(messages.is_within_one());
        }
    }
}
