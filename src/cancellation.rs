//! Ending work from outside: whoever wants its end is on another thread than the work.
//! Knows nothing of what the work is.

use std::fmt;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

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

/// Ends calls that somebody waits for, on whatever thread or runtime. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct HangUp(CancellationToken);

impl HangUp {
    /// Whether nobody is to wait any more.
    pub fn is_hung_up(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits for that.
    pub async fn hung_up(&self) {
        self.0.cancelled().await;
    }
}

impl Kill for HangUp {
    fn kill(&self) {
        self.0.cancel();
    }
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
