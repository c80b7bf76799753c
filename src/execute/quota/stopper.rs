//! Ends a command by name of the limit that it has exceeded, from any thread. Knows nothing of limits.

use parking_lot::Mutex;

use super::exceeded::Exceeded;
use crate::sandbox::Killer;

/// Shared by all who watch one command.
#[derive(Debug, Default)]
pub(in crate::execute) struct Stopper(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    stopped: bool,
    /// The first that was exceeded.
    exceeded: Option<Exceeded>,
    killer: Option<Killer>,
}

impl Stopper {
    /// Has the command killed for having exceeded a limit.
    pub fn exceed(&self, exceeded: Exceeded) {
        let mut state = self.0.lock();
        state.exceeded.get_or_insert(exceeded);
        state.stop();
    }

    /// Has it killed for no fault of its own.
    pub fn stop(&self) {
        self.0.lock().stop();
    }

    /// Names what is to be killed; kills it at once if that has been asked for.
    pub fn arm(&self, killer: Killer) {
        let mut state = self.0.lock();
        if state.stopped {
            killer.kill();
        }
        state.killer = Some(killer);
    }

    /// Whether the command was, or is to be, killed.
    pub fn is_stopped(&self) -> bool {
        self.0.lock().stopped
    }

    /// The limit that was exceeded, if one was.
    pub fn exceeded(&self) -> Option<Exceeded> {
        self.0.lock().exceeded.clone()
    }
}

impl State {
    fn stop(&mut self) {
        self.stopped = true;
        if let Some(killer) = &self.killer {
            killer.kill();
        }
    }
}
