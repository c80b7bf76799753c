//! The connections to an engine's schedulers: one is used as long as it answers, then the next. Knows no protocol.

use std::sync::atomic::{AtomicUsize, Ordering};

use tonic::{Code, Status};

use super::source::{SourceError, for_people};
use crate::remote::RemoteChannel;

/// The schedulers of one engine, any of which will do.
#[derive(Debug)]
pub struct Schedulers {
    /// With what people call them.
    all: Vec<(String, RemoteChannel)>,
    current: AtomicUsize,
}

/// The one that is used now.
#[derive(Debug, Clone)]
pub(super) struct Scheduler {
    pub channel: RemoteChannel,
    pub name: String,
    index: usize,
}

impl Schedulers {
    /// Those, with what people call each; the first is used first. There must be one.
    pub fn new(all: Vec<(String, RemoteChannel)>) -> Self {
        assert!(!all.is_empty(), "a worker without a scheduler");
        Self { all, current: AtomicUsize::new(0) }
    }

    pub(super) fn current(&self) -> Scheduler {
        let index = self.current.load(Ordering::Relaxed) % self.all.len();
        let (name, channel) = self.all[index].clone();
        Scheduler { channel, name, index }
    }

    /// What a call has come to that failed with `status`. From now on the next scheduler is used: one that fails, however, is
    /// no better than one that is gone, but for one that still has an earlier call of the same slot.
    pub(super) fn lost(&self, scheduler: &Scheduler, status: &Status) -> SourceError {
        if status.code() != Code::ResourceExhausted {
            let next = scheduler.index + 1;
            // Unless another slot was faster.
            let _ = self.current.compare_exchange(
                scheduler.index,
                next % self.all.len(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
        self.silent(scheduler, status)
    }

    /// As [`Self::lost`], but the scheduler is to be tried again.
    pub(super) fn silent(&self, scheduler: &Scheduler, status: &Status) -> SourceError {
        SourceError::Lost(format!("the scheduler {} says {}", scheduler.name, for_people(status)))
    }
}
