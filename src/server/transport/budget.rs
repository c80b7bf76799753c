//! How much of something the calls have that are in flight, in all and of one client. Knows nothing of what it is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tonic::{Code, Status};

use crate::shares::{Shares, Shortage};
use crate::status::later;

/// What the calls of all clients may have.
#[derive(Debug)]
pub(crate) struct Budget {
    shares: Mutex<Shares>,
    what: &'static str,
    bounded_by: &'static str,
}

/// What one call has of it. Given back when the last of those who hold it lets go.
#[derive(Clone)]
pub(crate) struct Held(Arc<Inner>);

struct Inner {
    budget: Arc<Budget>,
    client: Arc<str>,
    amount: Mutex<usize>,
    is_of_answer: AtomicBool,
}

impl Budget {
    /// At most so much of `what`, in the plural, as decided by `bounded_by`.
    pub(crate) fn new(limit: usize, what: &'static str, bounded_by: &'static str) -> Arc<Self> {
        Arc::new(Self { shares: Mutex::new(Shares::new(limit)), what, bounded_by })
    }

    /// Nothing yet, for a call of a client.
    pub(super) fn hold(self: &Arc<Self>, client: Arc<str>) -> Held {
        Held(Arc::new(Inner {
            budget: Arc::clone(self),
            client,
            amount: Mutex::new(0),
            is_of_answer: AtomicBool::new(false),
        }))
    }
}

impl Held {
    /// Takes more.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED that names the limit.
    pub(super) fn grow(&self, more: usize) -> Result<(), Status> {
        let inner = &*self.0;
        let Budget { shares, what, bounded_by } = &*inner.budget;
        let mut shares = shares.lock();
        let refusal = match shares.shortage(&inner.client, more) {
            None => {
                shares.add(&inner.client, more);
                *inner.amount.lock() += more;
                return Ok(());
            }
            Some(Shortage::Total { limit }) => format!("{what} may be {limit} at most"),
            Some(Shortage::Share { limit }) => format!("{what} of one client may be {limit} at most"),
        };
        Err(later(Code::ResourceExhausted, format!("{refusal} ({bounded_by}), and are; ask again later")))
    }

    /// Takes no less than this: a request that was compressed turned out to be larger.
    ///
    /// # Errors
    /// As [`Held::grow`].
    pub(crate) fn grow_to(&self, amount: usize) -> Result<(), Status> {
        let has = *self.0.amount.lock();
        if amount > has { self.grow(amount - has) } else { Ok(()) }
    }

    /// Has as much as the answer takes, instead of what the request took, until the answer has been sent.
    ///
    /// # Errors
    /// As [`Held::grow`].
    pub(crate) fn answer(&self, amount: usize) -> Result<(), Status> {
        self.0.is_of_answer.store(true, Ordering::Relaxed);
        let has = *self.0.amount.lock();
        if amount > has {
            return self.grow(amount - has);
        }
        self.shrink(has - amount);
        Ok(())
    }

    /// There is an answer: what is held for the request goes back.
    pub(super) fn answered(&self) {
        if !self.0.is_of_answer.load(Ordering::Relaxed) {
            self.shrink(usize::MAX);
        }
    }

    /// Gives some back.
    pub(super) fn shrink(&self, less: usize) {
        let inner = &*self.0;
        let mut shares = inner.budget.shares.lock();
        let mut amount = inner.amount.lock();
        let less = less.min(*amount);
        *amount -= less;
        shares.remove(&inner.client, less);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.budget.shares.lock().remove(&self.client, *self.amount.lock());
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Held({})", self.0.amount.lock())
    }
}
