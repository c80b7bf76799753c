//! Uploads that are not complete: what clients can come back to after their connection broke. Knows nothing of the
//! wire.
//!
//! An upload belongs to one stream at a time. A client that comes back may be here before we have noticed that its old
//! connection is dead, so a new stream takes the upload over, and the old one, if it still lives, is told so. What
//! has been written stays until the blob is complete, found to be wrong, or nobody has written to it for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard, watch};

use super::resource_name::UploadName;
use crate::cas::{DiskStore, StoreError, UnfinishedUploads, Upload};
use crate::digest::Digest;

/// All uploads that are not complete.
#[derive(Debug)]
pub(crate) struct UploadSessions {
    sessions: Mutex<HashMap<UploadName, Arc<Session>>>,
    idle_timeout: Duration,
    swept: AtomicBool,
}

#[derive(Debug)]
struct Session {
    progress: Arc<AsyncMutex<Progress>>,
    /// Of `progress`, for those who only want to know.
    committed_bytes: Arc<AtomicU64>,
    /// Counts the streams that have wanted this upload.
    owner: watch::Sender<u64>,
    /// When bytes came last, or the last stream ended.
    last_used: Mutex<Instant>,
    /// Told when others need the room, and no bytes come.
    unwanted: Notify,
}

/// What has been written of a blob.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    upload: Option<Upload>,
    committed_bytes: Arc<AtomicU64>,
}

/// Why a stream should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interruption {
    /// Another stream wants this upload.
    Superseded,
    /// Others need the room of an upload that seems to have stalled.
    Unwanted,
}

/// The right to write to an upload.
pub(crate) struct Lease {
    name: UploadName,
    session: Arc<Session>,
    owner: watch::Receiver<u64>,
}

/// In this part of the time for which an upload may be idle, it has stalled, and is given up if others need the room.
const STALLED: u32 = 20;

/// Most uploads that are kept while nobody writes to them; each holds a file open.
const MAX_IDLE: usize = 256;

impl UploadSessions {
    pub(crate) fn new(idle_timeout: Duration) -> Self {
        Self { sessions: Mutex::default(), idle_timeout, swept: AtomicBool::new(false) }
    }

    /// How long an upload may go without bytes, whether its client is connected or not.
    pub(crate) fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    /// Whether an upload whose bytes came last at that time keeps room from others for nothing.
    pub(crate) fn has_stalled(&self, last_bytes: Instant) -> bool {
        last_bytes.elapsed() >= self.idle_timeout / STALLED
    }

    /// Takes an upload over, once the stream that had it before has let go.
    pub(crate) async fn acquire(self: &Arc<Self>, name: &UploadName) -> (Lease, OwnedMutexGuard<Progress>) {
        self.keep_sweeping();
        let (session, owner) = {
            let mut sessions = self.sessions.lock();
            let session = sessions.entry(name.clone()).or_insert_with(|| Arc::new(Session::new()));
            let session = Arc::clone(session);
            session.owner.send_modify(|owner| *owner += 1);
            let owner = session.owner.subscribe();
            (session, owner)
        };
        let progress = Arc::clone(&session.progress).lock_owned().await;
        (Lease { name: name.clone(), session, owner }, progress)
    }

    /// Bytes that are written of an upload; `None` if nothing is known of it.
    pub(crate) fn committed_bytes(&self, name: &UploadName) -> Option<u64> {
        let sessions = self.sessions.lock();
        sessions.get(name).map(|session| session.committed_bytes.load(Ordering::Relaxed))
    }

    /// Forgets an upload that is complete or wrong.
    pub(crate) fn forget(&self, lease: &Lease) {
        let mut sessions = self.sessions.lock();
        if sessions.get(&lease.name).is_some_and(|session| Arc::ptr_eq(session, &lease.session)) {
            sessions.remove(&lease.name);
        }
    }

    /// Starts to look for idle uploads from time to time, until this is dropped.
    fn keep_sweeping(self: &Arc<Self>) {
        if self.swept.swap(true, Ordering::Relaxed) {
            return;
        }
        let sessions = Arc::downgrade(self);
        let pause = (self.idle_timeout / 4).clamp(Duration::from_millis(10), Duration::from_secs(60));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(pause).await;
                let Some(sessions) = sessions.upgrade() else { return };
                // Dropping an upload removes its file.
                let idle = sessions.take_idle();
                let _ = tokio::task::spawn_blocking(move || drop(idle)).await;
            }
        });
    }

    fn take_idle(&self) -> Vec<Arc<Session>> {
        let mut sessions = self.sessions.lock();
        let mut idle: Vec<(Instant, UploadName)> = sessions
            .iter()
            .filter(|(_, session)| session.progress.try_lock().is_ok())
            .map(|(name, session)| (*session.last_used.lock(), name.clone()))
            .collect();
        idle.sort_by_key(|(last_used, _)| *last_used);
        let surplus = idle.len().saturating_sub(MAX_IDLE);
        idle.into_iter()
            .enumerate()
            .filter(|(index, (last_used, _))| *index < surplus || last_used.elapsed() > self.idle_timeout)
            .filter_map(|(_, (_, name))| sessions.remove(&name))
            .collect()
    }
}

/// Those that no stream has are given up at once, the ones that were left longest ago first. Streams that have stalled are
/// told, and let go of theirs when they hear of it.
impl UnfinishedUploads for UploadSessions {
    fn give_back(&self, bytes: u64) {
        let mut sessions: Vec<(Instant, UploadName, Arc<Session>)> = self
            .sessions
            .lock()
            .iter()
            .filter(|(_, session)| session.committed_bytes.load(Ordering::Relaxed) > 0)
            .map(|(name, session)| (*session.last_used.lock(), name.clone(), Arc::clone(session)))
            .collect();
        sessions.sort_by_key(|(last_used, ..)| *last_used);
        let mut given: u64 = 0;
        for (last_used, name, session) in sessions {
            if given >= bytes {
                return;
            }
            if let Ok(mut progress) = session.progress.try_lock() {
                given = given.saturating_add(progress.committed_bytes());
                progress.restart();
                let mut sessions = self.sessions.lock();
                if sessions.get(&name).is_some_and(|known| Arc::ptr_eq(known, &session)) {
                    sessions.remove(&name);
                }
            } else if self.has_stalled(last_used) {
                session.unwanted.notify_one();
            }
        }
    }
}

impl Session {
    fn new() -> Self {
        let progress = Progress::default();
        let committed_bytes = Arc::clone(&progress.committed_bytes);
        Self {
            progress: Arc::new(AsyncMutex::new(progress)),
            committed_bytes,
            owner: watch::Sender::new(0),
            last_used: Mutex::new(Instant::now()),
            unwanted: Notify::new(),
        }
    }
}

impl Lease {
    /// Returns once somebody wants the stream to end.
    pub(crate) async fn interrupted(&mut self) -> Interruption {
        tokio::select! {
            // The session, and the sender in it, live as long as this.
            _ = self.owner.changed() => Interruption::Superseded,
            () = self.session.unwanted.notified() => Interruption::Unwanted,
        }
    }
}

impl Lease {
    /// Bytes have come.
    pub(crate) fn touch(&self) {
        *self.session.last_used.lock() = Instant::now();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        *self.session.last_used.lock() = Instant::now();
    }
}

impl Progress {
    pub(crate) fn committed_bytes(&self) -> u64 {
        self.committed_bytes.load(Ordering::Relaxed)
    }

    /// Forgets all that was written.
    pub(crate) fn restart(&mut self) {
        self.upload = None;
        self.committed_bytes.store(0, Ordering::Relaxed);
    }

    /// Takes the next bytes of the blob.
    pub(crate) fn write(
        &mut self,
        store: &DiskStore,
        digest: &Digest,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(store.upload(digest)?),
        };
        upload.write(bytes)?;
        self.committed_bytes.store(upload.committed_bytes(), Ordering::Relaxed);
        Ok(())
    }

    /// Verifies the blob and makes it visible.
    pub(crate) fn finish(&mut self, store: &DiskStore, digest: &Digest) -> Result<(), StoreError> {
        match self.upload.take() {
            Some(upload) => upload.finish(),
            None => store.upload(digest)?.finish(),
        }
    }
}
