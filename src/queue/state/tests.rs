//! Whatever happens in a queue, every operation ends and nothing is left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::digest::DigestFunction;
use crate::execute::ExecuteError;
use crate::queue::platform::Requirements;
use crate::queue::retention::Retained;
use crate::reapi::ActionResult;

const SECOND: Duration = Duration::from_secs(1);

/// What may happen.
#[derive(Debug, Clone)]
enum Event {
    Open { action: u8, priority: i32, do_not_cache: bool },
    Found(usize),
    NotFound(usize),
    Cancel(usize),
    Leave(usize),
    Return(usize),
    Look(usize),
    Delete(usize),
    Take(usize),
    Finish(usize),
    Pass(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let any_one = any::<prop::sample::Index>().prop_map(|index| index.index(1 << 16));
    let event = prop_oneof![
        4 => (0_u8..4, -1_i32..2, any::<bool>()).prop_map(|(action, priority, do_not_cache)| Event::Open {
            action,
            priority,
            do_not_cache
        }),
        1 => any_one.clone().prop_map(Event::Found),
        4 => any_one.clone().prop_map(Event::NotFound),
        2 => any_one.clone().prop_map(Event::Cancel),
        2 => any_one.clone().prop_map(Event::Leave),
        1 => any_one.clone().prop_map(Event::Return),
        1 => any_one.clone().prop_map(Event::Look),
        1 => any_one.clone().prop_map(Event::Delete),
        4 => any_one.clone().prop_map(Event::Take),
        3 => any_one.prop_map(Event::Finish),
        1 => (0_u64..8).prop_map(Event::Pass),
    ];
    proptest::collection::vec(event, 0..80)
}

/// A state with three slots in two pools, and those who act on it.
struct Play {
    state: State,
    now: Moment,
    opened: Vec<(OperationNumber, watch::Receiver<Snapshot>)>,
    listening: BTreeSet<OperationNumber>,
    running: BTreeMap<usize, Assigned>,
    idle: BTreeSet<usize>,
}

impl Play {
    fn new() -> Self {
        let pool = |name: &str, slots| {
            let (name, properties) = (name.to_owned(), Vec::new());
            Arc::new(Pool { name, slots, properties, preference: 0, timeouts: None })
        };
        let kept = Retained { count: 5, size_bytes: 1 << 20, time: 9 * SECOND };
        let settings = QueueSettings {
            max_queued: 6,
            max_bytes: 60_000,
            grace: 3 * SECOND,
            completed_operations: kept,
            ended_outputs: kept,
            ..QueueSettings::default()
        };
        Self {
            state: State::new(&[pool("a", 2), pool("b", 1)], settings),
            now: Moment::now(),
            opened: Vec::new(),
            listening: BTreeSet::new(),
            running: BTreeMap::new(),
            idle: BTreeSet::new(),
        }
    }

    fn happen(&mut self, event: &Event) {
        let operation = |index: usize| match self.opened.len() {
            0 => OperationNumber::MAX,
            count => self.opened[index % count].0,
        };
        match *event {
            Event::Open { action, priority, do_not_cache } => self.open(action, priority, do_not_cache),
            Event::Found(index) => {
                let cached = Outcome::Cached(ActionResult::default());
                self.state.found(operation(index), cached, self.now);
            }
            Event::NotFound(index) => self.state.enqueue(operation(index), self.now),
            Event::Cancel(index) => {
                self.state.cancel(operation(index), CancelReason::Client, self.now);
            }
            Event::Leave(index) => {
                let number = operation(index);
                if self.listening.remove(&number) {
                    self.state.leave(number, self.now);
                }
            }
            Event::Return(index) => {
                let number = operation(index);
                if !self.listening.contains(&number) && self.state.listen(number).is_ok() {
                    self.listening.insert(number);
                }
            }
            Event::Look(index) => {
                self.state.operations.look(operation(index), self.now);
            }
            Event::Delete(index) => {
                self.state.operations.delete(operation(index));
            }
            Event::Take(slot) => self.take(slot % 3),
            Event::Finish(index) => {
                let slot = self.running.keys().nth(index % 3).copied();
                if let Some(assigned) = slot.and_then(|slot| self.running.remove(&slot)) {
                    let outcome = Outcome::Failed(ExecuteError::Cancelled);
                    self.state.finish(assigned.task, outcome, self.now);
                }
            }
            Event::Pass(seconds) => {
                self.now.monotonic += seconds as u32 * SECOND;
                while self.state.expire(self.now) {}
            }
        }
        self.wake();
        self.check();
    }

    fn open(&mut self, action: u8, priority: i32, do_not_cache: bool) {
        let submission = Submission {
            instance_name: String::new(),
            action_digest: DigestFunction::Sha256.digest(&[action]),
            client: ["one", "two", "three"][usize::from(action) % 3].into(),
            do_not_cache,
            requirements: Requirements::default(),
            timeout: None,
            priority,
            request_metadata: None,
        };
        let pools: &[usize] = if action == 0 { &[0] } else { &[1, 0] };
        let Ok(opened) = self.state.open(submission, pools.into(), self.now) else { return };
        self.listening.insert(opened.0);
        self.opened.push(opened);
    }

    fn take(&mut self, slot: usize) {
        if self.running.contains_key(&slot) || self.idle.contains(&slot) {
            return;
        }
        match self.state.take(slot, self.now) {
            Some(assigned) => {
                self.running.insert(slot, assigned);
            }
            None => {
                self.idle.insert(slot);
            }
        }
    }

    fn wake(&mut self) {
        for slot in std::mem::take(&mut self.state.effects).wake {
            assert!(self.idle.remove(&slot), "only idle slots are woken");
            let assigned = self.state.assigned(slot).expect("a slot is woken for a task");
            self.running.insert(slot, assigned);
        }
    }

    /// What holds at all times.
    fn check(&self) {
        let state = &self.state;
        let queued =
            state.tasks.values().filter(|task| matches!(task.phase, TaskPhase::Queued { .. })).count();
        assert_eq!(state.queued.total(), queued);
        for task in state.tasks.values() {
            let attended = task.operations.iter().filter(|number| self.listening.contains(number)).count();
            assert_eq!(task.attended, attended);
            if let TaskPhase::Queued { place, .. } = &task.phase {
                assert_eq!(place.is_unattended, attended == 0, "what nobody waits for is behind the rest");
            }
        }
        assert_eq!(state.tasks.len() - queued, self.running.len());
        let executing: usize = state.statistics.pools.iter().map(|pool| pool.executing).sum();
        assert_eq!(executing, self.running.len());
        for slot in &self.idle {
            let pool = state.slots[*slot].pool;
            let work =
                state.ready.iter().find(|(pools, ready)| pools.contains(&pool) && ready.urgency().is_some());
            assert!(work.is_none(), "nothing waits that an idle slot could run");
        }
        for (key, task) in &state.in_flight {
            assert_eq!(state.tasks[task].key.as_ref(), Some(key));
        }
        let is_waiting = |number, task| state.tasks[&task].operations.contains(&number);
        state.operations.check(|number| self.listening.contains(&number), is_waiting);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn whatever_happens_every_operation_ends_and_nothing_is_left(events in events()) {
        let mut play = Play::new();
        for event in &events {
            play.happen(event);
        }
        for index in 0..play.opened.len() {
            play.happen(&Event::NotFound(index));
        }
        let mut rounds = 0;
        while !play.running.is_empty() || play.state.queued.total() > 0 {
            rounds += 1;
            prop_assert!(rounds < 10_000, "what runs and waits does not come to an end");
            play.happen(&Event::Finish(0));
            for slot in 0..3 {
                play.happen(&Event::Take(slot));
            }
        }
        for (_, receiver) in &play.opened {
            prop_assert!(receiver.borrow().outcome.is_some());
        }
        play.now.monotonic += 60 * SECOND;
        while play.state.expire(play.now) {}
        let state = &play.state;
        prop_assert_eq!(state.operations.count(), (0, 0));
        prop_assert!(state.queued.is_empty());
        prop_assert!(state.tasks.is_empty() && state.in_flight.is_empty() && state.outputs.is_empty());
        prop_assert_eq!(state.next_deadline(), None);
    }
}
