//! Seconds since 1970, as cheap as uses of blobs are to be noted. Knows nothing of blobs.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time, as fine as the store needs it.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Tests wait for nothing: they go on by so many seconds.
    #[cfg(test)]
    pub ahead: std::sync::atomic::AtomicU32,
}

impl Clock {
    /// Seconds since 1970.
    pub fn now(&self) -> u32 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
        #[cfg(test)]
        let now = now + self.ahead.load(std::sync::atomic::Ordering::Relaxed);
        now
    }
}
