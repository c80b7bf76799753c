//! Seconds since 1970, as cheap as uses of blobs are to be noted. Knows nothing of blobs.
//!
//! The time goes on evenly from what it was when the store was opened: whoever sets the clock of the machine makes no
//! blob older or younger than others. Times of files are those of the machine; what counts of them is how long ago they
//! are.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The time, as fine as the store needs it.
#[derive(Debug)]
pub(super) struct Clock {
    opened: Instant,
    /// What the machine's clock said then.
    said: u32,
    /// Tests wait for nothing: they go on by so many seconds.
    #[cfg(test)]
    pub ahead: std::sync::atomic::AtomicU32,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            opened: Instant::now(),
            said: machine_time(),
            #[cfg(test)]
            ahead: std::sync::atomic::AtomicU32::default(),
        }
    }
}

impl Clock {
    /// Seconds since 1970.
    pub fn now(&self) -> u32 {
        let since = u32::try_from(self.opened.elapsed().as_secs()).unwrap_or(u32::MAX);
        let now = self.said.saturating_add(since);
        #[cfg(test)]
        let now = now + self.ahead.load(std::sync::atomic::Ordering::Relaxed);
        now
    }

    /// A time of a file by this clock; none if it is yet to come.
    pub fn of_file(&self, seconds: i64) -> Option<u32> {
        let age = machine_time().checked_sub(u32::try_from(seconds.max(0)).ok()?)?;
        Some(self.now().saturating_sub(age))
    }

    /// What a file has to say that was used at `time`.
    pub fn to_file(&self, time: u32) -> i64 {
        i64::from(machine_time().saturating_sub(self.now().saturating_sub(time)))
    }
}

fn machine_time() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_files_come_and_go_by_their_age() {
        let clock = Clock::default();
        let set_back = Clock { said: 1000, ..Clock::default() };
        let now = i64::from(machine_time());
        for clock in [clock, set_back] {
            assert!(clock.of_file(now + 100).is_none());
            assert!(clock.of_file(i64::MAX).is_none());
            let past = clock.of_file(now - 500).unwrap();
            assert!((499..=502).contains(&(clock.now() - past)), "{past}");
            assert!((now - 502..=now - 498).contains(&clock.to_file(past)));
            assert!(clock.of_file(-5).is_some() && clock.of_file(i64::MIN).is_some());
        }
    }
}
