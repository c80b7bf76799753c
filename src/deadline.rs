//! Moments that are to come, and how long people may say that something takes. Knows nothing of what is waited for.

use std::time::{Duration, Instant};

/// The longest time that can be set: ten years.
pub const LONGEST: Duration = Duration::from_secs(LONGEST_SECONDS);
/// [`LONGEST`] in seconds.
pub const LONGEST_SECONDS: u64 = 10 * 365 * 24 * 3600;

/// Further away than anybody waits, and not beyond what a clock can say.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The moment `time` after `now`; of times that no clock can say, one that nobody waits for.
pub fn after(now: Instant, time: Duration) -> Instant {
    now + time.min(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_too_long_to_be_added() {
        let now = Instant::now();
        assert_eq!(after(now, Duration::from_secs(5)) - now, Duration::from_secs(5));
        for time in
            [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(18_000_000_000_000_000_000)]
        {
            assert!(after(now, time) - now > LONGEST);
        }
    }
}
