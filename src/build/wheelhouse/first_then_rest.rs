//! Groups of work, side by side, of each of which the first member comes before all others, as what it brings may save
//! their work. Knows nothing of what the work is.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};

struct Queue {
    /// Groups and members that can be begun.
    ready: VecDeque<(usize, usize)>,
    /// Members that have not ended.
    left: usize,
}

/// Does `work` on every member of every group, `at_a_time` at a time, and returns when all is done. Of a group with
/// `sizes[g]` members, member 0 has ended before any other begins.
pub(super) fn first_then_rest(sizes: &[usize], at_a_time: usize, work: impl Fn(usize, usize) + Sync) {
    let first = sizes.iter().enumerate().filter(|(_, size)| **size > 0).map(|(group, _)| (group, 0));
    let left: usize = sizes.iter().sum();
    let queue = Mutex::new(Queue { ready: first.collect(), left });
    let changed = Condvar::new();
    let take = || {
        let mut queue = queue.lock();
        loop {
            if queue.left == 0 {
                return None;
            }
            if let Some(next) = queue.ready.pop_front() {
                return Some(next);
            }
            changed.wait(&mut queue);
        }
    };
    let run = || {
        while let Some((group, member)) = take() {
            // Even if the work panics, which ends all, the others must not wait for it.
            let _ended = Ended(|| {
                let mut queue = queue.lock();
                queue.left -= 1;
                if member == 0 {
                    // What has been waiting goes first: it may take longest.
                    (1..sizes[group]).rev().for_each(|other| queue.ready.push_front((group, other)));
                }
                changed.notify_all();
            });
            work(group, member);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..at_a_time.clamp(1, left.max(1)) {
            scope.spawn(run);
        }
        run();
    });
}

/// Does something when it goes.
struct Ended<F: Fn()>(F);

impl<F: Fn()> Drop for Ended<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_group_has_ended_before_the_others_begin() {
        let sizes = [3, 1, 0, 2];
        for at_a_time in [1, 2, 16] {
            let ended = Mutex::new(Vec::new());
            first_then_rest(&sizes, at_a_time, |group, member| {
                let is_first_done = ended.lock().contains(&(group, 0));
                assert_eq!(is_first_done, member > 0, "{group} {member}");
                ended.lock().push((group, member));
            });
            let mut ended = ended.into_inner();
            ended.sort_unstable();
            assert_eq!(ended, [(0, 0), (0, 1), (0, 2), (1, 0), (3, 0), (3, 1)]);
        }
        first_then_rest(&[], 4, |_, _| unreachable!());
    }
}
