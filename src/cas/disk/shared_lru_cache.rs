//! An LRU cache in memory that many threads ask at a time. Knows nothing of what it holds; whoever asks makes sure
//! that it is still what the disk has.

use parking_lot::Mutex;

use super::layout::Key;
use crate::cas::lru_cache::LruCache;

const PARTS: usize = 16;

/// Values by key, together at most as large as the budget. In parts, as many threads ask at a time.
#[derive(Debug)]
pub(super) struct SharedLruCache<V>([Mutex<LruCache<Key, V>>; PARTS]);

impl<V: Clone> SharedLruCache<V> {
    pub fn new(bytes: usize) -> Self {
        Self(std::array::from_fn(|_| Mutex::new(LruCache::new(bytes / PARTS))))
    }

    pub fn get(&self, key: &Key) -> Option<V> {
        self.part(key).lock().get(key)
    }

    /// Sets a value that takes `cost` bytes.
    pub fn insert(&self, key: Key, value: V, cost: usize) {
        self.part(&key).lock().insert(key, value, cost);
    }

    fn part(&self, key: &Key) -> &Mutex<LruCache<Key, V>> {
        // The first byte names the table, so any other will do.
        &self.0[usize::from(key.hash[1]) % PARTS]
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
        let cache = SharedLruCache::new(2 * PARTS * 100);
        for number in 0..50 {
            cache.insert(key(number), number, 10);
            assert_eq!(cache.get(&key(0)), Some(0));
        }
        let kept = (0..50).filter(|number| cache.get(&key(*number)).is_some()).count();
        assert!(kept <= 20, "{kept}");
        cache.insert(key(0), 99, 10);
        assert_eq!(cache.get(&key(0)), Some(99));
    }

    #[test]
    fn what_is_too_large_is_not_kept_and_replaces_what_was() {
        let cache = SharedLruCache::new(2 * PARTS * 100);
        cache.insert(key(1), 1, 10);
        cache.insert(key(1), 2, 1000);
        assert_eq!(cache.get(&key(1)), None);
    }
}
