//! The operations that are known: where each is, who waits for it, and for how long it is kept. Plain data, as the
//! state that it is a part of. Knows nothing of what becomes of tasks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use uuid::Uuid;

use super::error::Unheard;
use super::operation::{Identity, OperationName, Outcome, Progress, Snapshot, Stage, Submission};
use super::ready::TaskNumber;
use super::retention::{Retained, Retention};
use crate::deadline;
use crate::execute::Moment;
use crate::shares::{Shares, Shortage};

/// How many may wait for one operation. Clients that were cut off come back once, or a few times if they do not notice.
const MOST_LISTENERS: usize = 64;

/// Numbers that grow with every operation.
pub(super) type OperationNumber = u64;

#[derive(Debug)]
pub(super) struct Operations {
    /// How long one lives on while nobody waits for it.
    grace: Duration,
    by_number: BTreeMap<OperationNumber, Operation>,
    names: HashMap<Uuid, OperationNumber>,
    /// Operations without listeners, by the time of their end.
    unattended: BTreeSet<(Instant, OperationNumber)>,
    completed: Retention<OperationNumber>,
    /// Bytes of those that have not ended.
    bytes: Shares,
}

#[derive(Debug)]
struct Operation {
    snapshot: watch::Sender<Snapshot>,
    phase: OperationPhase,
    listeners: usize,
    size_bytes: usize,
    /// Its entry in `unattended`.
    ends_at: Option<Instant>,
}

/// Where an operation is.
#[derive(Debug)]
pub(super) enum OperationPhase {
    /// With the pools that could run its action.
    CacheCheck(Box<Submission>, Arc<[usize]>),
    Waiting(TaskNumber),
    Completed,
}

impl Operations {
    pub(super) fn new(grace: Duration, kept: Retained, max_bytes: usize) -> Self {
        Self {
            grace,
            by_number: BTreeMap::new(),
            names: HashMap::new(),
            unattended: BTreeSet::new(),
            completed: Retention::new(kept),
            bytes: Shares::new(max_bytes),
        }
    }

    /// Whether there is memory for one more.
    pub(super) fn shortage(&self, submission: &Submission) -> Option<Shortage> {
        self.bytes.shortage(&submission.client, submission.size_bytes())
    }

    /// Adds one, with one listener, whose action is looked for in the cache.
    pub(super) fn open(
        &mut self,
        number: OperationNumber,
        submission: Submission,
        pools: Arc<[usize]>,
    ) -> watch::Receiver<Snapshot> {
        let name = OperationName { instance_name: submission.instance_name.clone(), id: Uuid::new_v4() };
        self.names.insert(name.id, number);
        let size_bytes = submission.size_bytes();
        self.bytes.add(&submission.client, size_bytes);
        let identity = Identity {
            name,
            client: Arc::clone(&submission.client),
            action_digest: submission.action_digest,
            request_metadata: submission.request_metadata.clone(),
        };
        let snapshot =
            Snapshot { identity: Arc::new(identity), progress: Progress::default(), outcome: None };
        let (sender, receiver) = watch::channel(snapshot);
        let phase = OperationPhase::CacheCheck(Box::new(submission), pools);
        let operation = Operation { snapshot: sender, phase, listeners: 1, size_bytes, ends_at: None };
        self.by_number.insert(number, operation);
        receiver
    }

    pub(super) fn phase(&self, number: OperationNumber) -> Option<&OperationPhase> {
        self.by_number.get(&number).map(|operation| &operation.phase)
    }

    /// What an operation asks for whose action was not found in the cache; none if it was cancelled meanwhile. It has
    /// to be told at once what it waits for, or how it ended.
    pub(super) fn take_submission(
        &mut self,
        number: OperationNumber,
    ) -> Option<(Box<Submission>, Arc<[usize]>)> {
        let phase = &mut self.by_number.get_mut(&number)?.phase;
        match std::mem::replace(phase, OperationPhase::Completed) {
            OperationPhase::CacheCheck(submission, pools) => Some((submission, pools)),
            other => {
                *phase = other;
                None
            }
        }
    }

    /// An operation waits for a task from now on.
    pub(super) fn wait_for(&mut self, number: OperationNumber, task: TaskNumber) {
        if let Some(operation) = self.by_number.get_mut(&number) {
            operation.phase = OperationPhase::Waiting(task);
        }
    }

    /// Tells those who wait for these operations where they are.
    pub(super) fn publish<'a>(
        &self,
        numbers: impl IntoIterator<Item = &'a OperationNumber>,
        progress: &Progress,
    ) {
        for operation in numbers.into_iter().filter_map(|number| self.by_number.get(number)) {
            operation.snapshot.send_modify(|snapshot| snapshot.progress = progress.clone());
        }
    }

    /// As [`Operations::publish`], for who asks: nobody is woken for it.
    pub(super) fn note<'a>(
        &self,
        numbers: impl IntoIterator<Item = &'a OperationNumber>,
        progress: &Progress,
    ) {
        for operation in numbers.into_iter().filter_map(|number| self.by_number.get(number)) {
            operation.snapshot.send_if_modified(|snapshot| {
                snapshot.progress = progress.clone();
                false
            });
        }
    }

    /// An operation has ended. It is kept for a while.
    pub(super) fn complete(&mut self, number: OperationNumber, outcome: &Arc<Outcome>, now: Moment) -> bool {
        let Some(operation) = self.by_number.get_mut(&number) else { return false };
        operation.phase = OperationPhase::Completed;
        if let Some(ends_at) = operation.ends_at.take() {
            self.unattended.remove(&(ends_at, number));
        }
        operation.snapshot.send_modify(|snapshot| {
            snapshot.progress.stage = Stage::Completed;
            snapshot.outcome = Some(Arc::clone(outcome));
        });
        self.bytes.remove(&operation.snapshot.borrow().identity.client, operation.size_bytes);
        self.completed.push(number, outcome.size_bytes() + operation.size_bytes, now.monotonic);
        true
    }

    /// The operation of a name, in the instance that the name says.
    pub(super) fn find(&self, name: &OperationName) -> Option<OperationNumber> {
        let number = *self.names.get(&name.id)?;
        let own = &self.by_number.get(&number)?.snapshot.borrow().identity.name.instance_name;
        (name.instance_name == *own).then_some(number)
    }

    /// Whether anybody waits for an operation.
    pub(super) fn is_attended(&self, number: OperationNumber) -> bool {
        self.by_number.get(&number).is_some_and(|operation| operation.listeners > 0)
    }

    /// Who began an operation.
    pub(super) fn client_of(&self, number: OperationNumber) -> Option<Arc<str>> {
        let operation = self.by_number.get(&number)?;
        Some(Arc::clone(&operation.snapshot.borrow().identity.client))
    }

    /// The first few of those that nobody waits for, those first that will be abandoned first.
    pub(super) fn first_unattended(&self, most: usize) -> impl Iterator<Item = OperationNumber> {
        self.unattended.iter().take(most).map(|(_, number)| *number)
    }

    /// An operation as it is now. Whoever asks this counts as somebody who waits, for a grace period.
    pub(super) fn look(&mut self, number: OperationNumber, now: Moment) -> Option<Snapshot> {
        if let Some(operation) = self.by_number.get(&number)
            && operation.listeners == 0
        {
            self.attend(number);
            self.neglect(number, now);
        }
        self.by_number.get(&number).map(|operation| operation.snapshot.borrow().clone())
    }

    /// Operations after a number, oldest first.
    pub(super) fn list(&self, after: OperationNumber, most: usize) -> Vec<(OperationNumber, Snapshot)> {
        self.by_number
            .range((Bound::Excluded(after), Bound::Unbounded))
            .take(most)
            .map(|(number, operation)| (*number, operation.snapshot.borrow().clone()))
            .collect()
    }

    /// All their numbers.
    pub(super) fn numbers(&self) -> Vec<OperationNumber> {
        self.by_number.keys().copied().collect()
    }

    /// How many are known, and how many of them have not ended and have nobody who waits for them.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.by_number.len(), self.unattended.len())
    }

    /// Somebody waits for an operation.
    pub(super) fn listen(&mut self, number: OperationNumber) -> Result<watch::Receiver<Snapshot>, Unheard> {
        self.attend(number);
        let operation = self.by_number.get_mut(&number).ok_or(Unheard::Unknown)?;
        if operation.listeners >= MOST_LISTENERS {
            return Err(Unheard::Crowded { limit: MOST_LISTENERS });
        }
        operation.listeners += 1;
        Ok(operation.snapshot.subscribe())
    }

    /// Somebody has stopped to wait for an operation.
    pub(super) fn leave(&mut self, number: OperationNumber, now: Moment) {
        let Some(operation) = self.by_number.get_mut(&number) else { return };
        operation.listeners -= 1;
        if operation.listeners == 0 {
            self.neglect(number, now);
        }
    }

    fn attend(&mut self, number: OperationNumber) {
        if let Some(operation) = self.by_number.get_mut(&number)
            && let Some(ends_at) = operation.ends_at.take()
        {
            self.unattended.remove(&(ends_at, number));
        }
    }

    fn neglect(&mut self, number: OperationNumber, now: Moment) {
        let Some(operation) = self.by_number.get_mut(&number) else { return };
        if matches!(operation.phase, OperationPhase::Completed) {
            return;
        }
        let ends_at = deadline::after(now.monotonic, self.grace);
        operation.ends_at = Some(ends_at);
        self.unattended.insert((ends_at, number));
    }

    /// Forgets a completed operation. `None` if there is none of that number, `Some(false)` if it has not ended.
    pub(super) fn delete(&mut self, number: OperationNumber) -> Option<bool> {
        let is_completed = matches!(self.phase(number)?, OperationPhase::Completed);
        if is_completed {
            self.forget(number);
        }
        Some(is_completed)
    }

    fn forget(&mut self, number: OperationNumber) {
        if let Some(operation) = self.by_number.remove(&number) {
            self.names.remove(&operation.snapshot.borrow().identity.name.id);
        }
    }

    /// The operation that has been without listeners for the longest time, if that is too long by now.
    pub(super) fn first_abandoned(&self, now: Moment) -> Option<OperationNumber> {
        let (ends_at, number) = self.unattended.first()?;
        (*ends_at <= now.monotonic).then_some(*number)
    }

    /// Forgets those that ended too long ago, or before too many others.
    pub(super) fn forget_excess(&mut self, now: Moment) {
        while let Some(number) = self.completed.pop_excess(now.monotonic) {
            self.forget(number);
        }
    }

    /// When one is to be abandoned or forgotten next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let unattended = self.unattended.first().map(|(ends_at, _)| *ends_at);
        unattended.into_iter().chain(self.completed.next_deadline()).min()
    }

    /// What holds at all times. `is_listening` and `is_waiting` are what the outside knows of an operation.
    #[cfg(test)]
    pub(super) fn check(
        &self,
        is_listening: impl Fn(OperationNumber) -> bool,
        is_waiting: impl Fn(OperationNumber, TaskNumber) -> bool,
    ) {
        for (number, operation) in &self.by_number {
            if let OperationPhase::Waiting(task) = &operation.phase {
                assert!(is_waiting(*number, *task));
            }
            let is_completed = matches!(operation.phase, OperationPhase::Completed);
            assert_eq!(operation.snapshot.borrow().outcome.is_some(), is_completed);
            let is_left = !is_listening(*number) && !is_completed;
            assert_eq!(operation.ends_at.is_some(), is_left, "those left alone end, and only those");
        }
        assert_eq!(self.names.len(), self.by_number.len());
        let is_open = |operation: &&Operation| !matches!(operation.phase, OperationPhase::Completed);
        let open = self.by_number.values().filter(is_open);
        assert_eq!(self.bytes.total(), open.map(|operation| operation.size_bytes).sum::<usize>());
        assert!(self.bytes.total() > 0 || self.bytes.is_empty());
    }
}
