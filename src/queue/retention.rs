//! Things that are over and kept for a while: only so many, so large and so long. Knows nothing of what they are.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::deadline;

/// Bounds of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retained {
    pub count: usize,
    pub size_bytes: usize,
    pub time: Duration,
}

/// A queue whose oldest entries make room.
#[derive(Debug)]
pub(super) struct Retention<T> {
    bounds: Retained,
    entries: VecDeque<Entry<T>>,
    size_bytes: usize,
}

#[derive(Debug)]
struct Entry<T> {
    until: Instant,
    size_bytes: usize,
    thing: T,
}

impl<T> Retention<T> {
    pub(super) fn new(bounds: Retained) -> Self {
        Self { bounds, entries: VecDeque::new(), size_bytes: 0 }
    }

    /// Keeps one more.
    pub(super) fn push(&mut self, thing: T, size_bytes: usize, now: Instant) {
        self.size_bytes += size_bytes;
        self.entries.push_back(Entry { until: deadline::after(now, self.bounds.time), size_bytes, thing });
    }

    /// The next thing that is to go by now, if there is one.
    pub(super) fn pop_excess(&mut self, now: Instant) -> Option<T> {
        let oldest = self.entries.front()?;
        let is_excess = self.entries.len() > self.bounds.count
            || self.size_bytes > self.bounds.size_bytes
            || oldest.until <= now;
        if !is_excess {
            return None;
        }
        let entry = self.entries.pop_front()?;
        self.size_bytes -= entry.size_bytes;
        Some(entry.thing)
    }

    /// When the oldest is to go.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.entries.front().map(|entry| entry.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_by_number_size_and_time() {
        let bounds = Retained { count: 3, size_bytes: 100, time: Duration::from_secs(10) };
        let mut kept = Retention::new(bounds);
        let start = Instant::now();
        for number in 0..4 {
            kept.push(number, 10, start);
        }
        assert_eq!(kept.pop_excess(start), Some(0));
        assert_eq!(kept.pop_excess(start), None);
        kept.push(4, 80, start + Duration::from_secs(5));
        assert_eq!(kept.pop_excess(start), Some(1));
        assert_eq!(kept.pop_excess(start), None, "100 bytes are not too many");
        assert_eq!(kept.next_deadline(), Some(start + Duration::from_secs(10)));
        assert_eq!(kept.pop_excess(start + Duration::from_secs(10)), Some(2));
        assert_eq!(kept.pop_excess(start + Duration::from_secs(10)), Some(3));
        assert_eq!(kept.pop_excess(start + Duration::from_secs(10)), None);
    }
}
