//! Blobs on their way to or from another store: which ones, and how many at a time. Knows nothing of what is done with
//! each.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::error::StoreError;
use crate::cancellation::HangUp;
use crate::digest::Digest;

/// Larger blobs are streams, straight from disk to disk.
pub(super) const IN_MEMORY: u64 = 1 << 20;
/// Bytes of a batch, which is in memory once or twice, with what a blob takes in a message besides its bytes: so much goes
/// into one call of most servers, with room to spare below the 4 MiB of gRPC.
const BATCH_BYTES: u64 = 3 << 20;
const PER_BLOB: u64 = 160;
/// Batches and streams of one call under way at a time: enough to have another in the air while one is written.
const PER_CALL: usize = 4;
/// Those of all calls together, which bounds the memory that they take.
const AT_ONCE: usize = 16;
/// How long who waits for others does not notice that nobody waits for it.
const GLANCE: Duration = Duration::from_millis(100);

/// What is on its way, shared by all who fetch into one store: nothing is fetched twice at a time, and only so much at
/// once. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Transfers {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    underway: Mutex<HashSet<Digest>>,
    landed: Condvar,
    busy: Mutex<usize>,
    freed: Condvar,
}

/// Some of the blobs on their way; they have landed, or never will, when it is dropped.
pub(super) struct Flight {
    shared: Arc<Shared>,
    pub digests: Vec<Digest>,
}

/// One of so many.
struct Turn<'a>(&'a Shared);

impl Transfers {
    /// Those of `digests` that nobody else is fetching; perhaps none.
    pub(super) fn take_off(&self, digests: &[Digest]) -> Flight {
        let mut underway = self.shared.underway.lock();
        let digests = digests.iter().copied().filter(|digest| underway.insert(*digest)).collect();
        drop(underway);
        Flight { shared: Arc::clone(&self.shared), digests }
    }

    /// Waits until one of `digests` has landed, or nobody waits any more.
    pub(super) fn wait_for(&self, digests: &[Digest], hang_up: &HangUp) {
        let mut underway = self.shared.underway.lock();
        while digests.iter().all(|digest| underway.contains(digest)) && !hang_up.is_hung_up() {
            self.shared.landed.wait_for(&mut underway, GLANCE);
        }
    }

    /// Does all of `jobs`, a few at a time, until one fails. Nothing is said of those that were not begun.
    pub(super) fn run<T: Send>(
        &self,
        jobs: &[Vec<Digest>],
        hang_up: &HangUp,
        job: impl Fn(&[Digest]) -> Result<T, StoreError> + Sync,
    ) -> Result<Vec<T>, StoreError> {
        let next = AtomicUsize::new(0);
        let failed = AtomicBool::new(false);
        let done = Mutex::new(Ok(Vec::new()));
        let work = || {
            while !failed.load(Ordering::Relaxed)
                && let Some(digests) = jobs.get(next.fetch_add(1, Ordering::Relaxed))
            {
                let outcome = self.turn(hang_up).and_then(|_turn| job(digests));
                let mut done = done.lock();
                match (outcome, &mut *done) {
                    (Ok(outcome), Ok(outcomes)) => outcomes.push(outcome),
                    (Err(error), Ok(_)) => {
                        failed.store(true, Ordering::Relaxed);
                        *done = Err(error);
                    }
                    (_, Err(_)) => {}
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..jobs.len().min(PER_CALL) {
                // Without threads to give, we do it all.
                let _ = thread::Builder::new().name("transfer".into()).spawn_scoped(scope, work);
            }
            work();
        });
        done.into_inner()
    }

    fn turn(&self, hang_up: &HangUp) -> Result<Turn<'_>, StoreError> {
        let mut busy = self.shared.busy.lock();
        while *busy >= AT_ONCE && !hang_up.is_hung_up() {
            self.shared.freed.wait_for(&mut busy, GLANCE);
        }
        still_wanted(hang_up)?;
        *busy += 1;
        Ok(Turn(&self.shared))
    }
}

/// # Errors
/// Once nobody waits any more.
pub(super) fn still_wanted(hang_up: &HangUp) -> Result<(), StoreError> {
    if !hang_up.is_hung_up() {
        return Ok(());
    }
    let message = "nobody waits for it any more".to_owned();
    Err(StoreError::Remote { doing: "bring blobs".to_owned(), message, exhausted: false })
}

/// Batches of small ones, and each large one by itself.
pub(super) fn jobs(digests: &[Digest]) -> Vec<Vec<Digest>> {
    let mut jobs = Vec::new();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for digest in digests {
        if digest.size_bytes > IN_MEMORY {
            jobs.push(vec![*digest]);
            continue;
        }
        let more = digest.size_bytes + PER_BLOB;
        if bytes + more > BATCH_BYTES {
            jobs.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        batch.push(*digest);
        bytes += more;
    }
    if !batch.is_empty() {
        jobs.push(batch);
    }
    jobs
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut underway = self.shared.underway.lock();
        for digest in &self.digests {
            underway.remove(digest);
        }
        self.shared.landed.notify_all();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.busy.lock() -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancellation::Kill;
    use crate::digest::DigestFunction;

    #[test]
    fn every_blob_is_in_one_job_and_no_job_is_too_large() {
        let sizes = (0..9_000).map(|number| number % 1_500).chain([IN_MEMORY, IN_MEMORY + 1, 5 << 30]);
        let digests: Vec<Digest> = sizes
            .enumerate()
            .map(|(number, size_bytes)| Digest {
                size_bytes,
                ..DigestFunction::Sha256.digest(&number.to_le_bytes())
            })
            .collect();
        let jobs = jobs(&digests);
        let mut seen: Vec<Digest> = jobs.iter().flatten().copied().collect();
        seen.sort_unstable();
        let mut all = digests;
        all.sort_unstable();
        assert_eq!(seen, all);
        for job in jobs {
            let bytes: u64 = job.iter().map(|digest| digest.size_bytes + PER_BLOB).sum();
            assert!(job.len() == 1 || bytes <= BATCH_BYTES, "{}", job.len());
        }
    }

    #[test]
    fn the_first_failure_ends_the_rest_and_so_does_hanging_up() {
        let transfers = Transfers::default();
        let jobs: Vec<Vec<Digest>> = vec![Vec::new(); 1_000];
        let begun = AtomicUsize::new(0);
        let failed = transfers.run(&jobs, &HangUp::default(), |_| {
            begun.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(StoreError::Damaged("it is".to_owned()))
        });
        assert!(matches!(failed, Err(StoreError::Damaged(_))));
        assert!(begun.load(Ordering::Relaxed) <= PER_CALL);
        let hang_up = HangUp::default();
        let ended = transfers.run(&jobs, &hang_up, |_| {
            hang_up.kill();
            Ok(())
        });
        assert!(matches!(ended, Err(StoreError::Remote { .. })));
        assert_eq!(transfers.run(&jobs, &HangUp::default(), |_| Ok(())).unwrap().len(), 1_000);
        assert_eq!(*transfers.shared.busy.lock(), 0);
    }
}
