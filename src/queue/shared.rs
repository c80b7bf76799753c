//! The lock around the state, and what follows from its changes: slots are woken, actions killed, the timer set. Knows
//! nothing of who changes it.

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use super::state::State;
use crate::execute::Moment;

/// Shared by clients, workers and the timer.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    /// Wakes the slots.
    pub(super) slots: Vec<Condvar>,
    pub(super) timer: Condvar,
    pub(super) drained: Notify,
}

impl Shared {
    /// With so many slots in all.
    pub(super) fn new(state: State, slots: usize) -> Self {
        Self {
            state: Mutex::new(state),
            slots: (0..slots).map(|_| Condvar::new()).collect(),
            timer: Condvar::new(),
            drained: Notify::new(),
        }
    }

    /// The one way to the state: changes it, and then does to the outside what follows from that.
    pub(super) fn with<R>(&self, change: impl FnOnce(&mut State, Moment) -> R) -> R {
        let mut state = self.state.lock();
        let result = change(&mut state, Moment::now());
        let effects = std::mem::take(&mut state.effects);
        let next = state.next_deadline();
        let is_earlier = next.is_some_and(|next| state.timer.is_none_or(|timer| next < timer));
        if is_earlier {
            state.timer = next;
        }
        let is_drained = state.is_drained();
        drop(state);
        for slot in effects.wake {
            self.slots[slot].notify_one();
        }
        for cancellation in effects.cancel {
            cancellation.cancel();
        }
        if is_earlier {
            self.timer.notify_one();
        }
        if is_drained {
            self.drained.notify_waiters();
        }
        result
    }

    /// Lets things expire until the queue is closed.
    pub(super) fn keep_deadlines(&self) {
        loop {
            // A little at a time, so that others get at the state in between.
            while self.with(|state, now| state.expire(now)) {}
            let mut state = self.state.lock();
            if state.is_closing() {
                return;
            }
            state.timer = state.next_deadline();
            match state.timer {
                Some(deadline) => {
                    self.timer.wait_until(&mut state, deadline);
                }
                None => self.timer.wait(&mut state),
            }
        }
    }
}
