//! An LRU cache in memory, up to a limit. Knows nothing of what it holds.
//!
//! Two generations instead of a list in order of use, which is nearly the same: what is used moves to the young one, and when that is full it
//! becomes the old one and the former old one is forgotten. A look-up costs one or two hash look-ups, no more.

use std::hash::Hash;

use hashbrown::HashMap;

/// A map that forgets what was not used for the longest time.
#[derive(Debug)]
pub(crate) struct LruCache<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    young_weight: usize,
    /// Most weight of one generation.
    limit: usize,
}

impl<K: Hash + Eq, V: Clone> LruCache<K, V> {
    /// Keeps at most `limit`, in whatever unit weights have.
    pub(crate) fn new(limit: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), young_weight: 0, limit: limit / 2 }
    }

    /// What is known of `key`; counts as a use.
    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, (value, weight)) = self.old.remove_entry(key)?;
        self.insert(key, value.clone(), weight);
        Some(value)
    }

    /// Remembers a value, unless it is too heavy on its own.
    pub(crate) fn insert(&mut self, key: K, value: V, weight: usize) {
        self.remove(&key);
        if weight > self.limit {
            return;
        }
        if self.young_weight + weight > self.limit {
            self.old = std::mem::take(&mut self.young);
            self.young_weight = 0;
        }
        self.young.insert(key, (value, weight));
        self.young_weight += weight;
    }

    /// Forgets `key`.
    pub(crate) fn remove(&mut self, key: &K) {
        if let Some((_, weight)) = self.young.remove(key) {
            self.young_weight -= weight;
        }
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut recent = LruCache::new(20);
        recent.insert("used", 0, 1);
        for number in 0..1000 {
            recent.insert(Box::leak(number.to_string().into_boxed_str()), number, 1);
            assert_eq!(recent.get(&"used"), Some(0));
        }
        assert_eq!(recent.get(&"0"), None);
        assert_eq!(recent.get(&"999"), Some(999));
        assert!(recent.young.len() + recent.old.len() <= 20);
    }

    #[test]
    fn what_is_too_heavy_or_replaced_is_not_kept() {
        let mut recent = LruCache::new(20);
        recent.insert("a", 1, 11);
        assert_eq!(recent.get(&"a"), None);
        recent.insert("a", 1, 5);
        recent.insert("a", 2, 5);
        assert_eq!((recent.get(&"a"), recent.young_weight), (Some(2), 5));
        recent.remove(&"a");
        assert_eq!((recent.get(&"a"), recent.young_weight), (None, 0));
    }
}
