//! How whoever finds that there is something to tidy up tells the upkeep. Knows nothing of what is done then.

use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// Wakes the threads of the upkeep, and ends them.
#[derive(Debug, Default)]
pub(super) struct UpkeepSignal {
    pending: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, Copy)]
struct Pending {
    work: bool,
    stop: bool,
}

impl UpkeepSignal {
    /// There is something to tidy up.
    pub fn notify(&self) {
        let mut pending = self.pending.lock();
        if !pending.work {
            pending.work = true;
            self.changed.notify_one();
        }
    }

    pub fn stop(&self) {
        self.pending.lock().stop = true;
        self.changed.notify_all();
    }

    pub fn is_stopped(&self) -> bool {
        self.pending.lock().stop
    }

    /// Waits until there is something to do; `false` when it is time to stop.
    pub fn wait(&self, until: Instant) -> bool {
        let mut pending = self.pending.lock();
        while !pending.work && !pending.stop {
            if self.changed.wait_until(&mut pending, until).timed_out() {
                break;
            }
        }
        pending.work = false;
        !pending.stop
    }
}
