//! What somebody who waits for an operation is sent: how it is, every change, and its end. Knows nothing of how it
//! began.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tonic::Status;

use super::inlining::Inlining;
use super::operation_message::{Audience, operation};
use crate::queue::Subscription;
use crate::reapi::longrunning::Operation;

/// Sends the operation at once, at every change, and when there was none for `keepalive`; ends with its end.
pub(super) fn updates(
    subscription: Subscription,
    keepalive: Duration,
    inlining: Option<Inlining>,
) -> BoxStream<'static, Result<Operation, Status>> {
    let updates = Updates { subscription, keepalive, inlining, next: Next::AtOnce };
    stream::unfold(updates, |updates| async move { updates.next().await.map(|(it, rest)| (Ok(it), rest)) })
        .boxed()
}

struct Updates {
    subscription: Subscription,
    keepalive: Duration,
    inlining: Option<Inlining>,
    next: Next,
}

#[derive(PartialEq)]
enum Next {
    AtOnce,
    Change,
    Nothing,
}

impl Updates {
    async fn next(mut self) -> Option<(Operation, Self)> {
        match self.next {
            Next::AtOnce => {}
            Next::Change => {
                // Whichever it is, the operation is sent.
                let _ = tokio::time::timeout(self.keepalive, self.subscription.changed()).await;
            }
            Next::Nothing => return None,
        }
        let snapshot = self.subscription.current();
        let mut result = None;
        self.next = Next::Change;
        if let Some(outcome) = &snapshot.outcome {
            self.next = Next::Nothing;
            if let Some(inlining) = self.inlining.take() {
                result = inlining.inline(outcome.clone()).await;
            }
        }
        Some((operation(&snapshot, Audience::Requester, result), self))
    }
}
