//! Ending work from outside: whoever wants its end is on another thread than the work.
//! Knows nothing of what the work is.

use std::fmt;

use parking_lot::Mutex;

/// Ends something that runs, from any thread. Does nothing once it has ended.
pub trait Kill: fmt::Debug + Send {
    /// Asks for its end and returns at once.
    fn kill(&self);
}

/// Shared by whoever works and whoever may end the work.
#[derive(Debug, Default)]
pub struct Cancellation {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    cancelled: bool,
    running: Option<Box<dyn Kill>>,
}

/// What ran was ended from outside.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Cancelled;

impl Cancellation {
    /// Ends the work: kills what runs now, and keeps anything else from starting.
    pub fn cancel(&self) {
        let mut state = self.state.lock();
        state.cancelled = true;
        if let Some(killer) = state.running.take() {
            killer.kill();
        }
    }

    /// Fails once the work was cancelled; asked between steps.
    pub fn check(&self) -> Result<(), Cancelled> {
        let state = self.state.lock();
        if state.cancelled { Err(Cancelled) } else { Ok(()) }
    }

    /// Names what is to be killed on cancellation; kills it at once if that has happened.
    pub fn watch(&self, killer: impl Kill + 'static) {
        let mut state = self.state.lock();
        if state.cancelled {
            killer.kill();
        } else {
            state.running = Some(Box::new(killer));
        }
    }
}
