//! Workers inside the server: each serves one slot of the queue. Knows nothing of how an action runs.
//!
//! Each is a thread of its own rather than a task on the runtime's blocking threads. Running an action blocks for as
//! long as the action takes, so the workers would use up the threads that reading blobs needs; a thread of our own is
//! woken by the queue directly; and it lives as long as the server, which matters as the kernel kills a child whose
//! parent *thread* is gone (`PR_SET_PDEATHSIG`).

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::panics::text_of;
use crate::cas::{ActionCache, BlobStore};
use crate::execute::{Execute, Executed, Work, read_action};
use crate::queue::{Assignment, Outcome, Pool, Queue, Slot};

/// The workers of a queue. Dropping them closes the queue and waits until none of what they run is left.
#[derive(Debug)]
pub struct LocalWorkers {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl LocalWorkers {
    /// Starts a worker for each slot. Actions are read from `blobs`; `execute` names what runs those of a pool; results
    /// that others may use are put into `action_cache`.
    ///
    /// # Errors
    /// If there can be no more threads. Those that were started end.
    pub fn start(
        queue: Arc<Queue>,
        slots: Vec<Slot>,
        execute: impl Fn(&Pool) -> Arc<dyn Execute>,
        blobs: &Arc<dyn BlobStore>,
        action_cache: &Arc<dyn ActionCache>,
    ) -> io::Result<Self> {
        let mut workers = Self { queue, threads: Vec::with_capacity(slots.len()) };
        for slot in slots {
            let execute = execute(slot.pool());
            let (blobs, action_cache) = (Arc::clone(blobs), Arc::clone(action_cache));
            let worker = Worker { slot, execute, blobs, action_cache };
            let name = worker.slot.name().to_owned();
            workers.threads.push(std::thread::Builder::new().name(name).spawn(move || worker.serve())?);
        }
        Ok(workers)
    }

    /// The queue they serve.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }
}

impl Drop for LocalWorkers {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // Panics of an action are caught; whatever else there was has been printed.
            let _ = thread.join();
        }
    }
}

struct Worker {
    slot: Slot,
    execute: Arc<dyn Execute>,
    blobs: Arc<dyn BlobStore>,
    action_cache: Arc<dyn ActionCache>,
}

impl Worker {
    fn serve(mut self) {
        while let Some(assignment) = self.slot.take() {
            let outcome = self.run(&assignment);
            assignment.finish(outcome);
        }
    }

    fn run(&self, assignment: &Assignment) -> Outcome {
        let order = assignment.order();
        // The executor is shared, and must be fit for use after a panic in another thread anyway.
        let run = AssertUnwindSafe(|| {
            // It was there when it was asked for; if it is gone by now, the client is told to bring it again.
            let (action, command) = read_action(&*self.blobs, &order.action_digest)?;
            let work = order.with(action, command);
            let executed = self.execute.execute(&work, assignment, assignment.cancellation())?;
            Ok((work, executed))
        });
        match catch_unwind(run) {
            Ok(Ok((work, executed))) => {
                self.cache(&work, &executed);
                Outcome::Executed(executed)
            }
            Ok(Err(error)) => Outcome::Failed(error),
            Err(panic) => {
                let (action, worker, panic) = (&order.action_digest, &order.worker, text_of(&*panic));
                tracing::error!(%action, worker, panic, "an action made its worker panic");
                Outcome::WorkerFailed("its worker panicked".to_owned())
            }
        }
    }

    /// Before the client hears of the result, so that it is there when they ask for it.
    fn cache(&self, work: &Work, executed: &Executed) {
        if work.action.do_not_cache || !executed.is_cacheable() {
            return;
        }
        if let Err(error) = self.action_cache.put(&work.instance_name, &work.action_digest, &executed.result)
        {
            tracing::warn!(action = %work.action_digest, %error, "a result could not be put into the action cache");
        }
    }
}
