//! Which of the waiting actions is next. Knows nothing of pools and operations.
//!
//! What somebody waits for comes before what nobody waits for any more, and then the lowest priority value first, as the
//! API wants it (REAPI `ExecutionPolicy.priority`). Within one priority the clients take turns, and within one client its
//! invocations, so that neither a build of ten thousand actions nor a client that calls each of its actions an
//! invocation makes the next one wait for all of them; within one invocation, first come, first served. All operations
//! take O(log n).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::rota::Rota;

/// Numbers that grow: older tasks have lower ones.
pub(super) type TaskNumber = u64;

/// Where a task waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Nobody waits for it.
    pub(super) is_unattended: bool,
    pub(super) priority: i32,
    /// Whose it is: clients take turns.
    pub(super) client: Arc<str>,
    /// What of theirs it is: the invocations of a client share its turns.
    pub(super) invocation: Arc<str>,
}

/// When a task is next: lower comes first, also between queues that draw their turns from one counter.
pub(super) type Urgency = (bool, i32, u64);

/// Tasks that wait for the same workers.
#[derive(Debug, Default)]
pub(super) struct ReadyQueue {
    levels: BTreeMap<(bool, i32), Rota<Rota<BTreeSet<TaskNumber>>>>,
}

impl ReadyQueue {
    /// Adds a task. `turns` yields the turn of whoever had nothing waiting.
    pub(super) fn push(&mut self, place: &Place, task: TaskNumber, turns: &mut u64) {
        let clients = self.levels.entry(level(place)).or_default();
        clients.get_or_add(&place.client, turns).get_or_add(&place.invocation, turns).insert(task);
    }

    /// How urgent the next task is.
    pub(super) fn urgency(&self) -> Option<Urgency> {
        let ((is_unattended, priority), clients) = self.levels.first_key_value()?;
        let (turn, ..) = clients.first()?;
        Some((*is_unattended, *priority, turn))
    }

    /// Takes the next task; its client then waits until all others had their turn, and so does its invocation among those
    /// of the client.
    pub(super) fn pop(&mut self, turns: &mut u64) -> Option<TaskNumber> {
        let ((is_unattended, priority), clients) = self.levels.first_key_value()?;
        let (_, client, invocations) = clients.first()?;
        let (_, invocation, tasks) = invocations.first()?;
        let task = *tasks.first()?;
        let (client, invocation) = (Arc::clone(client), Arc::clone(invocation));
        let place = Place { is_unattended: *is_unattended, priority: *priority, client, invocation };
        self.remove(&place, task);
        if let Some(clients) = self.levels.get_mut(&level(&place)) {
            if let Some(invocations) = clients.get_mut(&place.client) {
                invocations.had_turn(&place.invocation, turns);
            }
            clients.had_turn(&place.client, turns);
        }
        Some(task)
    }

    /// Takes out a task that is no longer to run, or not from this place.
    pub(super) fn remove(&mut self, place: &Place, task: TaskNumber) {
        let Some(clients) = self.levels.get_mut(&level(place)) else { return };
        let Some(invocations) = clients.get_mut(&place.client) else { return };
        let Some(tasks) = invocations.get_mut(&place.invocation) else { return };
        tasks.remove(&task);
        if tasks.is_empty() {
            invocations.remove(&place.invocation);
        }
        if invocations.is_empty() {
            clients.remove(&place.client);
        }
        if clients.is_empty() {
            self.levels.remove(&level(place));
        }
    }
}

fn level(place: &Place) -> (bool, i32) {
    (place.is_unattended, place.priority)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(priority: i32, invocation: &str) -> Place {
        place_of("client", priority, invocation)
    }

    fn place_of(client: &str, priority: i32, invocation: &str) -> Place {
        Place { is_unattended: false, priority, client: client.into(), invocation: invocation.into() }
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
        assert_eq!(queue.urgency().map(|(_, priority, _)| priority), Some(-1));
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

    #[test]
    fn clients_take_turns_however_many_invocations_they_have() {
        let (mut queue, mut turns) = (ReadyQueue::default(), 0);
        for task in 1..=4 {
            queue.push(&place_of("greedy", 0, &task.to_string()), task, &mut turns);
        }
        queue.push(&place_of("other", 0, "a"), 5, &mut turns);
        queue.push(&place_of("other", 0, "a"), 6, &mut turns);
        assert_eq!(drain(&mut queue, &mut turns), [1, 5, 2, 6, 3, 4]);
    }

    #[test]
    fn what_nobody_waits_for_comes_last_whatever_its_priority() {
        let (mut queue, mut turns) = (ReadyQueue::default(), 0);
        queue.push(&Place { is_unattended: true, ..place(i32::MIN, "a") }, 1, &mut turns);
        queue.push(&place(i32::MAX, "a"), 2, &mut turns);
        assert_eq!(drain(&mut queue, &mut turns), [2, 1]);
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
