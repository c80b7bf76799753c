//! What waits and what runs, and everything that can happen to it. Plain data that somebody else locks: no method here waits,
//! calls out or takes longer than O(log n), or
//! than the operations of one task. Knows nothing of threads, clocks and clients.
//!
//! An *operation* is what one client asked for. A *task* is an action that waits or runs; merged operations share
//! one. A task ends when its action does, or when the last of its operations is cancelled.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use uuid::Uuid;

use super::error::{Refusal, Unheard};
use super::operation::{CancelReason, Outcome, Progress, Snapshot, Stage, Submission};
use super::operations::{OperationNumber, OperationPhase, Operations};
use super::order::Order;
use super::output::ActionOutput;
use super::pool::Pool;
use super::ready::{Place, ReadyQueue, TaskNumber};
use super::retention::Retention;
use super::settings::QueueSettings;
use super::statistics::{PoolStatistics, Statistics};
use crate::cancellation::Cancellation;
use crate::digest::Digest;
use crate::execute::{Moment, Stage as RunStage};
use crate::shares::{Shares, Shortage};

/// How many operations that nobody waits for are given up before others get at the state.
const EXPIRED_AT_ONCE: usize = 256;

/// How many of them are looked at to find one that can be given up for another.
const LOOKED_AT: usize = 64;

/// What is to be done once the state is no longer locked.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Slots that have got a task.
    pub(super) wake: Vec<usize>,
    /// Actions to kill.
    pub(super) cancel: Vec<Arc<Cancellation>>,
}

#[derive(Debug)]
pub(super) struct State {
    settings: QueueSettings,
    pools: Vec<PoolState>,
    slots: Vec<SlotState>,
    /// Tasks that wait, by the pools that can run them, in order of preference.
    ready: HashMap<Arc<[usize]>, ReadyQueue>,
    /// How many of them there are.
    queued: Shares,
    turns: u64,
    last_number: u64,
    pub(super) operations: Operations,
    tasks: HashMap<TaskNumber, Task>,
    /// Tasks that others may join.
    in_flight: HashMap<ActionKey, TaskNumber>,
    outputs: HashMap<Uuid, Arc<ActionOutput>>,
    ended_outputs: Retention<Uuid>,
    statistics: Statistics,
    accepting: Accepting,
    /// What the timer waits for.
    pub(super) timer: Option<Instant>,
    pub(super) effects: Effects,
}

/// Which actions may still run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accepting {
    All,
    Known,
    Nothing,
}

#[derive(Debug)]
struct PoolState {
    pool: Arc<Pool>,
    name: Arc<str>,
    /// Slots that wait for a task; the one that worked last is used next.
    idle: Vec<usize>,
}

#[derive(Debug)]
struct SlotState {
    pool: usize,
    name: Arc<str>,
    /// A task this slot, which waits for one, is to run.
    assigned: Option<Assigned>,
}

/// A task for a worker.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) task: TaskNumber,
    pub(super) order: Order,
    pub(super) cancellation: Arc<Cancellation>,
    pub(super) output: Arc<ActionOutput>,
}

/// What makes two actions the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ActionKey {
    instance_name: String,
    action_digest: Digest,
}

#[derive(Debug)]
struct Task {
    operations: BTreeSet<OperationNumber>,
    /// How many of them somebody waits for.
    attended: usize,
    key: Option<ActionKey>,
    progress: Progress,
    phase: TaskPhase,
}

#[derive(Debug)]
enum TaskPhase {
    Queued { submission: Box<Submission>, place: Place, pools: Arc<[usize]>, since: Instant },
    Running { pool: usize, cancellation: Arc<Cancellation>, output: (Uuid, Arc<ActionOutput>) },
}

impl State {
    pub(super) fn new(pools: &[Arc<Pool>], settings: QueueSettings) -> Self {
        let slots = pools.iter().enumerate().flat_map(|(index, pool)| {
            (0..pool.slots).map(move |slot| SlotState {
                pool: index,
                name: format!("{}/{slot}", pool.name).into(),
                assigned: None,
            })
        });
        let pool_states = pools.iter().map(|pool| PoolState {
            pool: Arc::clone(pool),
            name: pool.name.as_str().into(),
            idle: Vec::new(),
        });
        Self {
            slots: slots.collect(),
            pools: pool_states.collect(),
            ready: HashMap::new(),
            queued: Shares::new(settings.max_queued),
            turns: 0,
            last_number: 0,
            operations: Operations::new(settings.grace, settings.completed_operations, settings.max_bytes),
            tasks: HashMap::new(),
            in_flight: HashMap::new(),
            outputs: HashMap::new(),
            ended_outputs: Retention::new(settings.ended_outputs),
            statistics: Statistics {
                pools: pools.iter().map(|pool| PoolStatistics::of(pool)).collect(),
                ..Statistics::default()
            },
            accepting: Accepting::All,
            timer: None,
            effects: Effects::default(),
            settings,
        }
    }

    /// Begins an operation, with one listener, whose action is looked for in the cache.
    pub(super) fn open(
        &mut self,
        submission: Submission,
        pools: Arc<[usize]>,
        now: Moment,
    ) -> Result<(OperationNumber, watch::Receiver<Snapshot>), Refusal> {
        if self.accepting != Accepting::All {
            return Err(Refusal::Closing);
        }
        while let Some(shortage) = self.operations.shortage(&submission) {
            let is_room_made = self.drop_unattended(shortage, &submission.client, now);
            if !is_room_made {
                return Err(match shortage {
                    Shortage::Total { limit } => Refusal::FullBytes { limit },
                    Shortage::Share { limit } => {
                        Refusal::Share { limit, of: "bytes", setting: "max-queue-bytes" }
                    }
                });
            }
        }
        let number = self.next_number();
        self.statistics.operations_total += 1;
        Ok((number, self.operations.open(number, submission, pools)))
    }

    /// The action of an operation was found in the cache.
    pub(super) fn found(&mut self, number: OperationNumber, outcome: Outcome, now: Moment) {
        if matches!(self.operations.phase(number), Some(OperationPhase::CacheCheck(..))) {
            self.complete(number, &Arc::new(outcome), now);
        }
    }

    /// The action of an operation was not found in the cache: it joins an equal one, is begun, or waits.
    pub(super) fn enqueue(&mut self, number: OperationNumber, now: Moment) {
        let Some((submission, pools)) = self.operations.take_submission(number) else { return };
        let key = (!submission.do_not_cache).then(|| ActionKey {
            instance_name: submission.instance_name.clone(),
            action_digest: submission.action_digest,
        });
        if let Some(task) = key.as_ref().and_then(|key| self.in_flight.get(key)).copied() {
            self.join(number, task, &submission);
            return;
        }
        let idle = pools.iter().find_map(|pool| self.pools[*pool].idle.pop());
        if idle.is_none()
            && let Err(refusal) = self.place_in_line(&submission.client, now)
        {
            self.complete(number, &Arc::new(Outcome::Refused(refusal)), now);
            return;
        }
        let task = self.add_task(number, key, submission, Arc::clone(&pools), now);
        match idle {
            Some(slot) => {
                let assigned = self.start(task, slot, now);
                self.slots[slot].assigned = Some(assigned);
                self.effects.wake.push(slot);
            }
            None => self.wait_in_line(task, pools),
        }
    }

    /// Makes sure that one more action of a client may wait.
    fn place_in_line(&mut self, client: &Arc<str>, now: Moment) -> Result<(), Refusal> {
        loop {
            let Some(shortage) = self.queued.shortage(client, 1) else { return Ok(()) };
            if !self.drop_unattended(shortage, client, now) {
                return Err(match shortage {
                    Shortage::Total { limit } => Refusal::Full { limit },
                    Shortage::Share { limit } => {
                        Refusal::Share { limit, of: "actions", setting: "max-queued-actions" }
                    }
                });
            }
        }
    }

    /// Gives up an operation that waits and that nobody waits for, to make room for another of `client`: one of its own
    /// if it has its share. `false` if there is none at hand.
    fn drop_unattended(&mut self, shortage: Shortage, client: &Arc<str>, now: Moment) -> bool {
        let is_own_wanted = matches!(shortage, Shortage::Share { .. });
        // Among the first there may be some that run: those end by themselves.
        let found = self.operations.first_unattended(LOOKED_AT).find(|number| {
            if is_own_wanted && self.operations.client_of(*number) != Some(Arc::clone(client)) {
                return false;
            }
            let Some(OperationPhase::Waiting(task)) = self.operations.phase(*number) else { return false };
            matches!(self.tasks.get(task), Some(Task { phase: TaskPhase::Queued { .. }, .. }))
        });
        found.is_some_and(|number| self.cancel(number, CancelReason::MadeRoom, now))
    }

    /// An equal action waits or runs already.
    fn join(&mut self, number: OperationNumber, task_number: TaskNumber, submission: &Submission) {
        let is_attended = self.operations.is_attended(number);
        let task = self.tasks.get_mut(&task_number).expect("what is in flight is a task");
        task.operations.insert(number);
        task.attended += usize::from(is_attended);
        self.operations.wait_for(number, task_number);
        self.operations.publish(&[number], &task.progress);
        self.statistics.merged_total += 1;
        self.move_in_line(task_number, |place, queued| {
            // Nobody is to wait behind all that somebody else wants, only because they want this, too.
            let is_sooner = submission.priority == place.priority
                && queued.of(&submission.client) < queued.of(&place.client);
            if submission.priority < place.priority || is_sooner {
                *place = place_of(submission);
            }
        });
    }

    /// Somebody waits for an operation.
    pub(super) fn listen(&mut self, number: OperationNumber) -> Result<watch::Receiver<Snapshot>, Unheard> {
        let was_attended = self.operations.is_attended(number);
        let receiver = self.operations.listen(number)?;
        if !was_attended
            && let Some(OperationPhase::Waiting(task_number)) = self.operations.phase(number)
            && let Some(task) = self.tasks.get_mut(task_number)
        {
            task.attended += 1;
            self.move_in_line(*task_number, |_, _| {});
        }
        Ok(receiver)
    }

    /// Somebody has stopped to wait for an operation.
    pub(super) fn leave(&mut self, number: OperationNumber, now: Moment) {
        self.operations.leave(number, now);
        if !self.operations.is_attended(number)
            && let Some(OperationPhase::Waiting(task_number)) = self.operations.phase(number)
            && let Some(task) = self.tasks.get_mut(task_number)
        {
            task.attended -= 1;
            self.move_in_line(*task_number, |_, _| {});
        }
    }

    /// Something about a task has changed: if it waits in line, it gets to where it belongs by now.
    fn move_in_line(&mut self, task_number: TaskNumber, change: impl FnOnce(&mut Place, &Shares)) {
        let Some(task) = self.tasks.get_mut(&task_number) else { return };
        let TaskPhase::Queued { place, pools, .. } = &mut task.phase else { return };
        let Some(ready) = self.ready.get_mut(pools) else { return };
        let mut there = place.clone();
        change(&mut there, &self.queued);
        there.is_unattended = task.attended == 0;
        if there != *place {
            ready.remove(place, task_number);
            self.queued.remove(&place.client, 1);
            *place = there;
            self.queued.add(&place.client, 1);
            ready.push(place, task_number, &mut self.turns);
        }
    }

    fn add_task(
        &mut self,
        number: OperationNumber,
        key: Option<ActionKey>,
        submission: Box<Submission>,
        pools: Arc<[usize]>,
        now: Moment,
    ) -> TaskNumber {
        let task_number = self.next_number();
        if let Some(key) = &key {
            self.in_flight.insert(key.clone(), task_number);
        }
        self.operations.wait_for(number, task_number);
        let progress = Progress {
            stage: Stage::Queued,
            queued_at: Some(now.wall),
            pool: pools.first().map(|pool| Arc::clone(&self.pools[*pool].name)),
            ..Progress::default()
        };
        let attended = usize::from(self.operations.is_attended(number));
        let place = Place { is_unattended: attended == 0, ..place_of(&submission) };
        let phase = TaskPhase::Queued { place, submission, pools, since: now.monotonic };
        let operations = BTreeSet::from([number]);
        self.tasks.insert(task_number, Task { operations, attended, key, progress, phase });
        task_number
    }

    fn wait_in_line(&mut self, task_number: TaskNumber, pools: Arc<[usize]>) {
        let Some(Task { phase: TaskPhase::Queued { place, .. }, .. }) = self.tasks.get(&task_number) else {
            return;
        };
        self.ready.entry(pools).or_default().push(place, task_number, &mut self.turns);
        self.queued.add(&place.client, 1);
        self.publish(task_number);
    }

    /// A task for a slot that has none; if there is none, the slot is idle from now on.
    pub(super) fn take(&mut self, slot: usize, now: Moment) -> Option<Assigned> {
        let pool = self.slots[slot].pool;
        let most_urgent = self
            .ready
            .iter_mut()
            .filter(|(pools, _)| pools.contains(&pool))
            .filter_map(|(_, ready)| Some((ready.urgency()?, ready)))
            .min_by_key(|(urgency, _)| *urgency);
        let Some(task) = most_urgent.and_then(|(_, ready)| ready.pop(&mut self.turns)) else {
            self.pools[pool].idle.push(slot);
            return None;
        };
        if let Some(Task { phase: TaskPhase::Queued { place, .. }, .. }) = self.tasks.get(&task) {
            self.queued.remove(&place.client, 1);
        }
        Some(self.start(task, slot, now))
    }

    /// The task that an idle slot was woken for.
    pub(super) fn assigned(&mut self, slot: usize) -> Option<Assigned> {
        self.slots[slot].assigned.take()
    }

    /// A task that waits no more begins in a slot.
    fn start(&mut self, task_number: TaskNumber, slot: usize, now: Moment) -> Assigned {
        let SlotState { pool, name, .. } = &self.slots[slot];
        let (pool, worker) = (*pool, Arc::clone(name));
        let cancellation = Arc::<Cancellation>::default();
        let output = (Uuid::new_v4(), Arc::new(ActionOutput::new()));
        self.outputs.insert(output.0, Arc::clone(&output.1));
        let task = self.tasks.get_mut(&task_number).expect("what is started was waiting");
        task.progress.stage = Stage::Executing;
        task.progress.worker = Some((Arc::clone(&worker), now.wall));
        task.progress.pool = Some(Arc::clone(&self.pools[pool].name));
        task.progress.output = Some(output.0);
        let running =
            TaskPhase::Running { pool, cancellation: Arc::clone(&cancellation), output: output.clone() };
        let TaskPhase::Queued { submission, since, .. } = std::mem::replace(&mut task.phase, running) else {
            unreachable!("a task is started once");
        };
        let queued_at = task.progress.queued_at.unwrap_or(now.wall);
        self.publish(task_number);
        let statistics = &mut self.statistics.pools[pool];
        statistics.executing += 1;
        statistics.started_total += 1;
        statistics.waited_total += now.monotonic.saturating_duration_since(since);
        let timeouts = self.pools[pool].pool.timeouts.unwrap_or(self.settings.timeouts);
        let order = Order {
            instance_name: submission.instance_name,
            action_digest: submission.action_digest,
            timeout: submission.timeout.unwrap_or(timeouts.default),
            queued_at,
            worker: worker.as_ref().to_owned(),
            request_metadata: submission.request_metadata.map(Arc::unwrap_or_clone),
        };
        Assigned { task: task_number, order, cancellation, output: output.1 }
    }

    /// A running task has come to a new part of its execution.
    pub(super) fn reached(&mut self, task_number: TaskNumber, stage: RunStage, at: Moment) {
        let Some(task) = self.tasks.get_mut(&task_number) else { return };
        task.progress.stages.set(stage, at.wall);
        self.operations.note(&task.operations, &task.progress);
    }

    /// A running task has ended, and so have its operations.
    pub(super) fn finish(&mut self, task_number: TaskNumber, outcome: Outcome, now: Moment) {
        let Some(task) = self.tasks.remove(&task_number) else { return };
        self.leave_flight(task_number, task.key.as_ref());
        if let TaskPhase::Running { pool, output: (id, output), .. } = task.phase {
            self.statistics.pools[pool].executing -= 1;
            output.end();
            self.ended_outputs.push(id, output.size_bytes(), now.monotonic);
        }
        let outcome = Arc::new(outcome);
        for number in task.operations {
            self.complete(number, &outcome, now);
        }
    }

    /// Ends an operation early. The action of its task dies if nobody else wants it. `false` if there is no such
    /// operation; one that has ended stays as it is.
    pub(super) fn cancel(&mut self, number: OperationNumber, reason: CancelReason, now: Moment) -> bool {
        match self.operations.phase(number) {
            None => return false,
            Some(OperationPhase::Completed) => return true,
            Some(OperationPhase::CacheCheck(..)) => {}
            Some(OperationPhase::Waiting(task)) => self.leave_task(number, *task),
        }
        self.complete(number, &Arc::new(Outcome::Cancelled(reason)), now);
        true
    }

    fn leave_task(&mut self, number: OperationNumber, task_number: TaskNumber) {
        let Some(task) = self.tasks.get_mut(&task_number) else { return };
        task.operations.remove(&number);
        task.attended -= usize::from(self.operations.is_attended(number));
        if !task.operations.is_empty() {
            self.move_in_line(task_number, |_, _| {});
            return;
        }
        let key = task.key.take();
        match &task.phase {
            TaskPhase::Queued { place, pools, .. } => {
                if let Some(ready) = self.ready.get_mut(pools) {
                    ready.remove(place, task_number);
                }
                self.queued.remove(&place.client, 1);
                self.tasks.remove(&task_number);
            }
            // It occupies its slot until its worker says that nothing of it is left.
            TaskPhase::Running { cancellation, .. } => self.effects.cancel.push(Arc::clone(cancellation)),
        }
        self.leave_flight(task_number, key.as_ref());
    }

    fn leave_flight(&mut self, task_number: TaskNumber, key: Option<&ActionKey>) {
        if let Some(key) = key
            && self.in_flight.get(key) == Some(&task_number)
        {
            self.in_flight.remove(key);
        }
    }

    fn complete(&mut self, number: OperationNumber, outcome: &Arc<Outcome>, now: Moment) {
        if self.operations.complete(number, outcome, now) {
            self.statistics.count(outcome);
            self.expire_retained(now);
        }
    }

    /// Tells those who wait for a task where it is.
    fn publish(&self, task_number: TaskNumber) {
        if let Some(task) = self.tasks.get(&task_number) {
            self.operations.publish(&task.operations, &task.progress);
        }
    }

    /// The output of a running action, or of one that ended not long ago.
    pub(super) fn output(&self, id: Uuid) -> Option<Arc<ActionOutput>> {
        self.outputs.get(&id).cloned()
    }

    /// Cancels and forgets what is due, or some of it: `true` if there is more.
    pub(super) fn expire(&mut self, now: Moment) -> bool {
        for _ in 0..EXPIRED_AT_ONCE {
            let Some(number) = self.operations.first_abandoned(now) else { break };
            self.cancel(number, CancelReason::Abandoned(self.settings.grace), now);
        }
        self.expire_retained(now);
        self.operations.first_abandoned(now).is_some()
    }

    /// When something is to [`expire`](Self::expire) next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [self.operations.next_deadline(), self.ended_outputs.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    fn expire_retained(&mut self, now: Moment) {
        self.operations.forget_excess(now);
        while let Some(output) = self.ended_outputs.pop_excess(now.monotonic) {
            self.outputs.remove(&output);
        }
    }

    /// Takes no more actions and cancels those there are.
    pub(super) fn close(&mut self, now: Moment) {
        self.accepting = Accepting::Nothing;
        for number in self.operations.numbers() {
            self.cancel(number, CancelReason::Closing, now);
        }
    }

    /// Takes no more actions; those there are go on.
    pub(super) fn refuse_new(&mut self) {
        if self.accepting == Accepting::All {
            self.accepting = Accepting::Known;
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.accepting == Accepting::Nothing
    }

    /// Takes no more actions, and has none.
    pub(super) fn is_drained(&self) -> bool {
        self.accepting != Accepting::All && self.tasks.is_empty()
    }

    pub(super) fn count_refusal(&mut self, refusal: &Refusal) {
        self.statistics.refusals.count(refusal);
    }

    pub(super) fn statistics(&self) -> Statistics {
        let mut statistics = self.statistics.clone();
        statistics.queued = self.queued.total();
        (statistics.operations, statistics.unattended) = self.operations.count();
        statistics
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

fn place_of(submission: &Submission) -> Place {
    let invocation = submission.request_metadata.as_ref().map(|metadata| {
        if metadata.tool_invocation_id.is_empty() {
            metadata.correlated_invocations_id.as_str()
        } else {
            metadata.tool_invocation_id.as_str()
        }
    });
    Place {
        is_unattended: false,
        priority: submission.priority,
        client: Arc::clone(&submission.client),
        invocation: invocation.unwrap_or_default().into(),
    }
}

#[cfg(test)]
mod tests;
