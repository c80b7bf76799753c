//! A bounded cache in memory of what was read last. Knows nothing of what it holds; whoever asks makes sure that
//! it is still what the disk has.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::layout::Key;

const PARTS: usize = 16;

/// Values by key, together at most as large as the budget.
///
/// Each part has two generations: when the young one has half of the budget, it becomes the old one and the
/// old one goes. What is asked for is made young again.
#[derive(Debug)]
pub(super) struct Hot<V> {
    parts: [Mutex<Part<V>>; PARTS],
    /// Most bytes in one generation of one part.
    budget: usize,
}

#[derive(Debug)]
struct Part<V> {
    young: HashMap<Key, (V, usize)>,
    old: HashMap<Key, (V, usize)>,
    young_bytes: usize,
}

impl<V: Clone> Hot<V> {
    pub fn new(bytes: usize) -> Self {
        let part = || Mutex::new(Part { young: HashMap::new(), old: HashMap::new(), young_bytes: 0 });
        Self { parts: std::array::from_fn(|_| part()), budget: bytes / (2 * PARTS) }
    }

    pub fn get(&self, key: &Key) -> Option<V> {
        let mut part = self.part(key).lock();
        if let Some((value, _)) = part.young.get(key) {
            return Some(value.clone());
        }
        let (value, cost) = part.old.remove(key)?;
        part.insert(*key, value.clone(), cost, self.budget);
        Some(value)
    }

    /// Sets a value that takes `cost` bytes.
    pub fn insert(&self, key: Key, value: V, cost: usize) {
        let mut part = self.part(&key).lock();
        part.old.remove(&key);
        part.insert(key, value, cost, self.budget);
    }

    fn part(&self, key: &Key) -> &Mutex<Part<V>> {
        // The first byte names the table, so any other will do.
        &self.parts[usize::from(key.hash[1]) % PARTS]
    }
}

impl<V> Part<V> {
    fn insert(&mut self, key: Key, value: V, cost: usize, budget: usize) {
        if let Some((_, replaced)) = self.young.remove(&key) {
            self.young_bytes -= replaced;
        }
        if cost > budget {
            return;
        }
        if self.young_bytes + cost > budget {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += cost;
        self.young.insert(key, (value, cost));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cas::disk::layout::Kind;
    use crate::digest::DigestFunction;

    fn key(number: u8) -> Key {
        let mut hash = [0; 32];
        hash[31] = number;
        Key { kind: Kind::Blob, function: DigestFunction::Sha256, hash }
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let hot = Hot::new(2 * PARTS * 100);
        for number in 0..50 {
            hot.insert(key(number), number, 10);
            assert_eq!(hot.get(&key(0)), Some(0));
        }
        let kept = (0..50).filter(|number| hot.get(&key(*number)).is_some()).count();
        assert!(kept <= 20, "{kept}");
        hot.insert(key(0), 99, 10);
        assert_eq!(hot.get(&key(0)), Some(99));
    }

    #[test]
    fn what_is_too_large_is_not_kept_and_replaces_what_was() {
        let hot = Hot::new(2 * PARTS * 100);
        hot.insert(key(1), 1, 10);
        hot.insert(key(1), 2, 1000);
        assert_eq!(hot.get(&key(1)), None);
    }
}
