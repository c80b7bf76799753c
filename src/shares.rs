//! How much of something bounded each client has, so that none can have all of it. Knows nothing of what it is.

use std::collections::HashMap;
use std::sync::Arc;

/// What there is, and who has how much of it.
#[derive(Debug)]
pub struct Shares {
    limit: usize,
    total: usize,
    of: HashMap<Arc<str>, usize>,
}

/// Why somebody cannot have more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// Nobody can.
    Total { limit: usize },
    /// This client has as much as one may: three quarters of all.
    Share { limit: usize },
}

impl Shares {
    /// Nobody has anything of so much.
    pub fn new(limit: usize) -> Self {
        Self { limit, total: 0, of: HashMap::new() }
    }

    /// What all have together.
    pub fn total(&self) -> usize {
        self.total
    }

    /// What one client has.
    pub fn of(&self, client: &Arc<str>) -> usize {
        self.of.get(client).copied().unwrap_or_default()
    }

    /// Whether a client can have so much more.
    pub fn shortage(&self, client: &Arc<str>, more: usize) -> Option<Shortage> {
        let share = self.limit - self.limit / 4;
        if self.of(client).saturating_add(more) > share {
            return Some(Shortage::Share { limit: share });
        }
        (self.total.saturating_add(more) > self.limit).then_some(Shortage::Total { limit: self.limit })
    }

    /// A client has so much more, whether there is room or not.
    pub fn add(&mut self, client: &Arc<str>, amount: usize) {
        self.total += amount;
        *self.of.entry(Arc::clone(client)).or_default() += amount;
    }

    /// A client has so much less.
    pub fn remove(&mut self, client: &Arc<str>, amount: usize) {
        self.total -= amount;
        if let Some(has) = self.of.get_mut(client) {
            *has -= amount;
            if *has == 0 {
                self.of.remove(client);
            }
        }
    }

    /// Nobody has anything.
    pub fn is_empty(&self) -> bool {
        self.total == 0 && self.of.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leaves_a_quarter_to_the_others() {
        let (one, other): (Arc<str>, Arc<str>) = ("one".into(), "other".into());
        let mut shares = Shares::new(8);
        for _ in 0..6 {
            assert_eq!(shares.shortage(&one, 1), None);
            shares.add(&one, 1);
        }
        assert_eq!(shares.shortage(&one, 1), Some(Shortage::Share { limit: 6 }));
        shares.add(&other, 2);
        assert_eq!(shares.shortage(&other, 1), Some(Shortage::Total { limit: 8 }));
        shares.remove(&one, 6);
        shares.remove(&other, 2);
        assert!(shares.is_empty());
    }
}
