//! Which of the waiting actions is next. Knows nothing of pools and operations.
//!
//! The lowest priority value first, as the API wants it (REAPI `ExecutionPolicy.priority`). Within one priority the
//! invocations take turns, so that a build of ten thousand actions does not make the next one wait for all of them;
//! within one invocation, first come, first served. All operations take O(log n).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Numbers that grow: older tasks have lower ones.
pub(super) type TaskNumber = u64;

/// Where a task waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) priority: i32,
    /// Whose it is: those of one invocation share their turns.
    pub(super) invocation: Arc<str>,
}

/// When a task is next: lower comes first, also between queues that draw their turns from one counter.
pub(super) type Urgency = (i32, u64);

/// Tasks that wait for the same workers.
#[derive(Debug, Default)]
pub(super) struct ReadyQueue {
    levels: BTreeMap<i32, Level>,
}

/// Tasks of one priority.
#[derive(Debug, Default)]
struct Level {
    /// Invocations by their next turn.
    turns: BTreeMap<u64, Arc<str>>,
    invocations: HashMap<Arc<str>, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    turn: u64,
    tasks: BTreeSet<TaskNumber>,
}

impl ReadyQueue {
    /// Adds a task. `turns` yields the turn of an invocation that had nothing waiting.
    pub(super) fn push(&mut self, place: &Place, task: TaskNumber, turns: &mut u64) {
        let level = self.levels.entry(place.priority).or_default();
        if let Some(waiting) = level.invocations.get_mut(&place.invocation) {
            waiting.tasks.insert(task);
            return;
        }
        let turn = next(turns);
        level.turns.insert(turn, Arc::clone(&place.invocation));
        level
            .invocations
            .insert(Arc::clone(&place.invocation), Waiting { turn, tasks: BTreeSet::from([task]) });
    }

    /// How urgent the next task is.
    pub(super) fn urgency(&self) -> Option<Urgency> {
        let (priority, level) = self.levels.first_key_value()?;
        let (turn, _) = level.turns.first_key_value()?;
        Some((*priority, *turn))
    }

    /// Takes the next task; its invocation then waits until all others had their turn.
    pub(super) fn pop(&mut self, turns: &mut u64) -> Option<TaskNumber> {
        let (priority, level) = self.levels.first_key_value()?;
        let (_, invocation) = level.turns.first_key_value()?;
        let place = Place { priority: *priority, invocation: Arc::clone(invocation) };
        let task = *level.invocations.get(&place.invocation)?.tasks.first()?;
        self.remove(&place, task);
        if let Some(level) = self.levels.get_mut(&place.priority)
            && let Some(waiting) = level.invocations.get_mut(&place.invocation)
        {
            level.turns.remove(&waiting.turn);
            waiting.turn = next(turns);
            level.turns.insert(waiting.turn, place.invocation);
        }
        Some(task)
    }

    /// Takes out a task that is no longer to run, or not from this place.
    pub(super) fn remove(&mut self, place: &Place, task: TaskNumber) {
        let Some(level) = self.levels.get_mut(&place.priority) else { return };
        let Some(waiting) = level.invocations.get_mut(&place.invocation) else { return };
        waiting.tasks.remove(&task);
        if waiting.tasks.is_empty() {
            level.turns.remove(&waiting.turn);
            level.invocations.remove(&place.invocation);
        }
        if level.invocations.is_empty() {
            self.levels.remove(&place.priority);
        }
    }
}

fn next(turns: &mut u64) -> u64 {
    *turns += 1;
    *turns
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(priority: i32, invocation: &str) -> Place {
        Place { priority, invocation: invocation.into() }
    }

    fn drain(queue: &mut ReadyQueue, turns: &mut u64) -> Vec<TaskNumber> {
        std::iter::from_fn(|| queue.pop(turns)).collect()
    }

    #[test]
    fn lower_priority_values_come_first_and_equals_in_order() {
        let (mut queue, mut turns) = (ReadyQueue::default(), 0);
        for (task, priority) in [(1, 0), (2, 5), (3, -1), (4, 0), (5, -1)] {
            queue.push(&place(priority, "a"), task, &mut turns);
        }
        assert_eq!(queue.urgency().map(|(priority, _)| priority), Some(-1));
        assert_eq!(drain(&mut queue, &mut turns), [3, 5, 1, 4, 2]);
        assert_eq!(queue.urgency(), None);
    }

    #[test]
    fn invocations_of_one_priority_take_turns() {
        let (mut queue, mut turns) = (ReadyQueue::default(), 0);
        for task in 1..=4 {
            queue.push(&place(0, "long"), task, &mut turns);
        }
        queue.push(&place(0, "short"), 5, &mut turns);
        assert_eq!(queue.pop(&mut turns), Some(1));
        queue.push(&place(0, "late"), 6, &mut turns);
        assert_eq!(drain(&mut queue, &mut turns), [5, 2, 6, 3, 4]);
    }

    proptest! {
        #[test]
        fn what_is_pushed_and_not_removed_comes_out_once_by_priority(
            tasks in proptest::collection::vec((-2_i32..3, 0_u8..4, any::<bool>()), 0..60)
        ) {
            let (mut queue, mut turns) = (ReadyQueue::default(), 0);
            for (task, (priority, invocation, _)) in (0..).zip(&tasks) {
                queue.push(&place(*priority, &invocation.to_string()), task, &mut turns);
            }
            for (task, (priority, invocation, remove)) in (0..).zip(&tasks) {
                if *remove {
                    queue.remove(&place(*priority, &invocation.to_string()), task);
                }
            }
            let order = drain(&mut queue, &mut turns);
            let priority = |task: &TaskNumber| tasks[usize::try_from(*task).unwrap()].0;
            prop_assert!(order.is_sorted_by_key(priority));
            let mut numbers = order;
            numbers.sort_unstable();
            let kept: Vec<TaskNumber> =
                (0..).zip(&tasks).filter(|(_, task)| !task.2).map(|(number, _)| number).collect();
            prop_assert_eq!(numbers, kept);
            prop_assert!(queue.levels.is_empty());
        }
    }
}
