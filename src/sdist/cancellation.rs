//! Ending a build from outside: a signal arrives on one thread, the build runs on another.
//! Knows nothing of signals.

use std::sync::{Mutex, PoisonError};

use crate::sandbox::Killer;

/// Shared by a build and whoever may end it.
#[derive(Default)]
pub struct Cancellation {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    cancelled: bool,
    running: Option<Killer>,
}

/// The build was ended from outside.
#[derive(Debug, thiserror::Error)]
#[error("the build was interrupted")]
pub struct Cancelled;

impl Cancellation {
    /// Ends the build: kills what runs now, and keeps anything else from starting.
    pub fn cancel(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.cancelled = true;
        if let Some(killer) = state.running.take() {
            killer.kill();
        }
    }

    /// Fails once the build was cancelled; asked between steps.
    pub fn check(&self) -> Result<(), Cancelled> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.cancelled { Err(Cancelled) } else { Ok(()) }
    }

    /// Names the process tree to kill on cancellation; kills it at once if that has happened.
    pub fn watch(&self, killer: Killer) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.cancelled {
            killer.kill();
        } else {
            state.running = Some(killer);
        }
    }
}
