//! The same work on many things, several at a time. Knows nothing of what it is.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Does `work` on each of `items`, on at most `at_a_time` threads; returns when all is done. Each is begun in the order
/// of the items, whose index `work` is told.
pub(super) fn side_by_side<T: Sync>(items: &[T], at_a_time: usize, work: impl Fn(usize, &T) + Sync) {
    let next = AtomicUsize::new(0);
    let take = || {
        while let Some((index, item)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            items.get(index).map(|item| (index, item))
        } {
            work(index, item);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..at_a_time.clamp(1, items.len().max(1)) {
            scope.spawn(take);
        }
        take();
    });
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn everything_is_done_once_whatever_the_number_of_threads() {
        for at_a_time in [0, 1, 3, 100] {
            let done = Mutex::new(Vec::new());
            side_by_side(&["a", "b", "c", "d"], at_a_time, |index, item| done.lock().push((index, *item)));
            let mut done = done.into_inner();
            done.sort_unstable();
            assert_eq!(done, [(0, "a"), (1, "b"), (2, "c"), (3, "d")]);
        }
        side_by_side(&[], 4, |_, (): &()| unreachable!());
    }
}
