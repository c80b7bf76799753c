//! When a call is worth repeating, and after how long. Knows nothing of what the calls do.

use std::error::Error;
use std::time::{Duration, Instant};

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::deadline;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// The pauses between attempts: each about twice as long as the one before, until patience ends.
#[derive(Debug)]
pub struct Backoff {
    patience: Duration,
    deadline: Option<Instant>,
    next: Duration,
}

impl Backoff {
    /// Attempts go on for `patience` after the first failure.
    pub fn new(patience: Duration) -> Self {
        Self { patience, deadline: None, next: FIRST }
    }

    /// Something worked: the next failure counts as a first one.
    pub fn reset(&mut self) {
        *self = Self::new(self.patience);
    }

    /// How long to wait after a failure, or nothing if it is time to give up.
    pub fn pause(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let deadline = *self.deadline.get_or_insert(deadline::after(now, self.patience));
        if now >= deadline {
            return None;
        }
        let pause = self.next.mul_f64(0.75 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(LONGEST);
        Some(pause.min(deadline - now))
    }
}

/// Whether the same call may well succeed a moment later.
pub fn is_transient(status: &Status) -> bool {
    match status.code() {
        // Not what has a limit of its own, which it will exceed again.
        Code::ResourceExhausted => status.get_details_quota_failure().is_none(),
        Code::Unavailable | Code::Aborted => true,
        // A connection that breaks below a call.
        Code::Unknown | Code::Internal | Code::Cancelled => {
            status.source().is_some() && !status.message().contains("certificate")
        }
        _ => false,
    }
}

/// An error with all that led to it, each cause once: `tonic` says no more than "transport error" by itself.
pub fn describe(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let part = error.to_string();
        if !text.contains(&part) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&part);
        }
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let mut backoff = Backoff::new(Duration::from_secs(3600));
        let pauses: Vec<_> = (0..10).map(|_| backoff.pause().unwrap()).collect();
        assert!(pauses[0] < pauses[3] && pauses[3] < pauses[6]);
        assert!(pauses.iter().all(|pause| *pause <= LONGEST.mul_f64(1.25)));
        assert_eq!(Backoff::new(Duration::ZERO).pause(), None);
    }

    #[test]
    fn what_the_server_decided_is_not_asked_again() {
        assert!(is_transient(&Status::unavailable("restarting")));
        for status in [Status::internal("bug"), Status::permission_denied("no"), Status::not_found("x")] {
            assert!(!is_transient(&status));
        }
        let full = Status::resource_exhausted("the queue is full");
        assert!(is_transient(&full));
        let details = tonic_types::ErrorDetails::with_quota_failure_violation("scratch", "too much");
        assert!(!is_transient(&Status::with_error_details(Code::ResourceExhausted, "too much", details)));
    }
}
