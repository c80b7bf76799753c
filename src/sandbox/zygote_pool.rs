//! Zygotes that stand ready, and where they go back to once a command has ended. Knows nothing of commands.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::message::Network;
use super::spec::RootFileSystem;
use super::zygote::Zygote;

/// What a zygote was built for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ZygoteKind {
    pub network: Network,
    pub root: RootFileSystem,
}

/// Zygotes without a command, by kind. The one that has been idle the longest is used first: it takes a moment to
/// clean up after one command and to prepare for another, which nobody has to wait for then.
#[derive(Debug)]
pub(super) struct ZygotePool {
    idle: Mutex<HashMap<ZygoteKind, VecDeque<Zygote>>>,
    /// One that has not run any command yet.
    unused: Mutex<Option<(ZygoteKind, Zygote)>>,
    /// How many of each kind are kept.
    most: usize,
}

/// The place in a pool that a zygote goes back to.
#[derive(Debug)]
pub(super) struct PoolSlot {
    pool: Weak<ZygotePool>,
    kind: ZygoteKind,
}

impl ZygotePool {
    /// One that keeps at most so many of each kind; `unused` is its first.
    pub(super) fn new(most: usize, unused: Option<(ZygoteKind, Zygote)>) -> Self {
        Self { idle: Mutex::default(), unused: Mutex::new(unused), most }
    }

    /// One of this kind, if there is one that is surely ready.
    pub(super) fn take(&self, kind: &ZygoteKind) -> Option<Zygote> {
        let unused = {
            let mut unused = self.unused.lock();
            unused.take_if(|(of_kind, _)| of_kind == kind)
        };
        if let Some((_, mut zygote)) = unused
            && zygote.is_alive()
        {
            return Some(zygote);
        }
        loop {
            let mut zygote = {
                let mut idle = self.idle.lock();
                let of_this_kind = idle.get_mut(kind)?;
                // The last one has perhaps only just ended a command.
                if of_this_kind.len() < 2 {
                    return None;
                }
                of_this_kind.pop_front()?
            };
            // One that somebody killed is replaced without a word, and so is one that remembers too much. Its end takes a
            // moment that nobody has to wait for.
            if zygote.is_alive() && !zygote.is_stale() {
                return Some(zygote);
            }
            let _ = std::thread::Builder::new().name("zygote".into()).spawn(|| drop(zygote));
        }
    }
}

impl PoolSlot {
    pub(super) fn new(pool: &Arc<ZygotePool>, kind: ZygoteKind) -> Self {
        Self { pool: Arc::downgrade(pool), kind }
    }

    /// Keeps a zygote for later, unless there are enough, it is of no more use, or nobody wants one any more.
    pub(super) fn put_back(&self, zygote: Zygote) {
        if zygote.is_stale() {
            return;
        }
        let Some(pool) = self.pool.upgrade() else { return };
        let mut idle = pool.idle.lock();
        let of_this_kind = idle.entry(self.kind.clone()).or_default();
        if of_this_kind.len() < pool.most {
            of_this_kind.push_back(zygote);
        } else {
            drop(idle);
            drop(zygote);
        }
    }
}
