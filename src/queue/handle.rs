//! The queue as clients see it, and what a client holds. Knows nothing of sockets.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use super::error::{QueueError, Refusal, Unheard};
use super::operation::{CancelReason, OperationName, Outcome, Snapshot, Submission};
use super::operations::OperationNumber;
use super::output::ActionOutput;
use super::platform::{Offer, Requirements, Shortfall, Unsatisfiable};
use super::pool::{Pool, Timeouts};
use super::settings::QueueSettings;
use super::shared::Shared;
use super::slot::Slot;
use super::state::State;
use super::statistics::Statistics;
use crate::reapi::ActionResult;

/// Owns all operations. Dropping it ends them.
#[derive(Debug)]
pub struct Queue {
    shared: Arc<Shared>,
    pools: Vec<Arc<Pool>>,
    /// What the pools offer, and their places in `pools`: the most preferred first.
    offers: Vec<(usize, Offer)>,
    settings: QueueSettings,
}

impl Queue {
    /// A queue, and a slot for each action that may run at a time, each to be served by one worker.
    ///
    /// # Errors
    /// Pools that cannot be, or if no thread can be started.
    pub fn new(pools: Vec<Pool>, settings: QueueSettings) -> Result<(Self, Vec<Slot>), QueueError> {
        check(&pools, settings)?;
        let pools: Vec<Arc<Pool>> = pools.into_iter().map(Arc::new).collect();
        let mut offers: Vec<(usize, Offer)> =
            pools.iter().enumerate().map(|(index, pool)| (index, Offer::of(pool))).collect();
        offers.sort_by_key(|(index, _)| std::cmp::Reverse(pools[*index].preference));
        let slot_count = pools.iter().map(|pool| pool.slots).sum();
        let shared = Arc::new(Shared::new(State::new(&pools, settings), slot_count));
        let watched = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("queue-timer".to_owned())
            .spawn(move || watched.keep_deadlines())
            .map_err(QueueError::Thread)?;
        let of_pools =
            pools.iter().flat_map(|pool| (0..pool.slots).map(move |number| (Arc::clone(pool), number)));
        let slots = of_pools
            .enumerate()
            .map(|(index, (pool, number))| Slot::new(Arc::clone(&shared), pool, index, number))
            .collect();
        Ok((Self { shared, pools, offers, settings }, slots))
    }

    /// The pools, in the order in which they were given.
    pub fn pools(&self) -> &[Arc<Pool>] {
        &self.pools
    }

    /// The bounds it was made with.
    pub fn settings(&self) -> &QueueSettings {
        &self.settings
    }

    /// Begins an operation for a client. The action waits to be told whether the cache has its result.
    ///
    /// # Errors
    /// What can never run here, and anything if the server is about to stop.
    pub fn open(&self, mut submission: Submission) -> Result<(Subscription, CacheCheck), Refusal> {
        let matched = self.match_pools(&submission);
        // They may be long, and nobody asks for them again.
        submission.requirements = Requirements::default();
        let opened =
            matched.and_then(|pools| self.shared.with(|state, now| state.open(submission, pools, now)));
        match opened {
            Ok((number, receiver)) => Ok((
                Subscription { shared: Arc::clone(&self.shared), number, receiver },
                CacheCheck { shared: Arc::clone(&self.shared), number: Some(number) },
            )),
            Err(refusal) => {
                self.shared.with(|state, _| state.count_refusal(&refusal));
                Err(refusal)
            }
        }
    }

    fn match_pools(&self, submission: &Submission) -> Result<Arc<[usize]>, Refusal> {
        let asked = submission.requirements.choosing_among(self.offers.iter().map(|(_, offer)| offer));
        let mut shortfalls = Vec::new();
        let mut maximum = Duration::ZERO;
        let mut matching = Vec::new();
        for (index, offer) in &self.offers {
            let pool = &self.pools[*index];
            let lacks = offer.lacks(&asked);
            if !lacks.is_empty() {
                let (name, offers) = (pool.name.clone(), pool.properties.clone());
                shortfalls.push(Shortfall { pool: name, offers, lacks });
                continue;
            }
            let may_run_for = pool.timeouts.unwrap_or(self.settings.timeouts).maximum;
            maximum = maximum.max(may_run_for);
            if submission.timeout.is_none_or(|asked| asked <= may_run_for) {
                matching.push(*index);
            }
        }
        match submission.timeout {
            _ if !matching.is_empty() => Ok(matching.into()),
            Some(asked) if maximum > Duration::ZERO => Err(Refusal::Timeout { asked, maximum }),
            _ => {
                shortfalls.sort_by_key(|shortfall| shortfall.lacks.len());
                Err(Refusal::Unsatisfiable(Box::new(Unsatisfiable { asked, pools: shortfalls })))
            }
        }
    }

    /// Waits for an operation that somebody began. If nobody waited for it any more, its action goes back to its place.
    ///
    /// # Errors
    /// [`Unheard`]
    pub fn subscribe(&self, name: &OperationName) -> Result<Subscription, Unheard> {
        let (number, receiver) = self.shared.with(|state, _| {
            let number = state.operations.find(name).ok_or(Unheard::Unknown)?;
            Ok((number, state.listen(number)?))
        })?;
        Ok(Subscription { shared: Arc::clone(&self.shared), number, receiver })
    }

    /// An operation as it is now. Asking keeps it alive for another grace period.
    pub fn get(&self, name: &OperationName) -> Option<Snapshot> {
        self.shared.with(|state, now| state.operations.look(state.operations.find(name)?, now))
    }

    /// At most `most` operations with numbers above `after`, oldest first, with their numbers.
    pub fn list(&self, after: u64, most: usize) -> Vec<(u64, Snapshot)> {
        self.shared.with(|state, _| state.operations.list(after, most))
    }

    /// Cancels an operation; `false` if there is none of that name. Its action is killed unless others wait for
    /// it, too. An operation that has ended stays as it is.
    pub fn cancel(&self, name: &OperationName) -> bool {
        self.shared.with(|state, now| {
            state.operations.find(name).is_some_and(|number| state.cancel(number, CancelReason::Client, now))
        })
    }

    /// Forgets an operation that has ended. `None` if there is none of that name, `Some(false)` if it goes on.
    pub fn delete(&self, name: &OperationName) -> Option<bool> {
        self.shared.with(|state, _| state.operations.delete(state.operations.find(name)?))
    }

    /// The output of a running action, or of one that ended not long ago ([`Progress`](super::operation::Progress) names
    /// it).
    pub fn output(&self, id: Uuid) -> Option<Arc<ActionOutput>> {
        self.shared.with(|state, _| state.output(id))
    }

    /// What it does and did.
    pub fn statistics(&self) -> Statistics {
        self.shared.with(|state, _| state.statistics())
    }

    /// Takes no more actions from now on, and returns once those it has have ended.
    pub async fn drain(&self) {
        self.shared.with(|state, _| state.refuse_new());
        loop {
            let drained = self.shared.drained.notified();
            if self.shared.state.lock().is_drained() {
                return;
            }
            drained.await;
        }
    }

    /// Cancels all operations and takes no more. Workers end when what they run is dead.
    pub fn close(&self) {
        self.shared.with(|state, now| state.close(now));
        for slot in &self.shared.slots {
            slot.notify_one();
        }
        self.shared.timer.notify_one();
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.close();
    }
}

fn check(pools: &[Pool], settings: QueueSettings) -> Result<(), QueueError> {
    if pools.is_empty() {
        return Err(QueueError::NoPools);
    }
    let everywhere = ("all pools".to_owned(), settings.timeouts);
    let of_pools = pools.iter().filter_map(|pool| Some((format!("pool `{}`", pool.name), pool.timeouts?)));
    for (of, Timeouts { default, maximum }) in std::iter::once(everywhere).chain(of_pools) {
        if default > maximum {
            return Err(QueueError::Timeouts { of, default, maximum });
        }
    }
    for (index, pool) in pools.iter().enumerate() {
        if pool.slots == 0 {
            return Err(QueueError::NoSlots(pool.name.clone()));
        }
        if pools[..index].iter().any(|other| other.name == pool.name) {
            return Err(QueueError::SameName(pool.name.clone()));
        }
    }
    Ok(())
}

/// Somebody who waits for an operation. Dropping it says that they do no more.
#[derive(Debug)]
pub struct Subscription {
    shared: Arc<Shared>,
    number: OperationNumber,
    receiver: watch::Receiver<Snapshot>,
}

impl Subscription {
    /// The operation as it is now.
    pub fn current(&mut self) -> Snapshot {
        self.receiver.borrow_and_update().clone()
    }

    /// Returns once the operation has changed since the last call of [`Subscription::current`]. Stages that
    /// pass quickly may be left out.
    pub async fn changed(&mut self) {
        if self.receiver.changed().await.is_err() {
            // It was forgotten, so it has completed, and nothing about it changes any more. Whoever has seen
            // that does not wait.
            std::future::pending().await
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.with(|state, now| state.leave(self.number, now));
    }
}

/// An operation that waits to be told whether its action is in the cache. Dropped without an answer, it is not.
#[derive(Debug)]
pub struct CacheCheck {
    shared: Arc<Shared>,
    number: Option<OperationNumber>,
}

impl CacheCheck {
    /// The cache has a result that may be used.
    pub fn found(mut self, result: ActionResult) {
        if let Some(number) = self.number.take() {
            self.shared.with(|state, now| state.found(number, Outcome::Cached(result), now));
        }
    }

    /// The action is to be run.
    pub fn not_found(self) {
        drop(self);
    }
}

impl Drop for CacheCheck {
    fn drop(&mut self) {
        if let Some(number) = self.number.take() {
            self.shared.with(|state, now| state.enqueue(number, now));
        }
    }
}
