//! Runs the actions of one slot, one after the other, on a thread of its own. Knows nothing of schedulers.
//!
//! A thread rather than a task: running an action blocks, and the kernel kills a child whose parent *thread* is gone
//! (`PR_SET_PDEATHSIG`).

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc as events;
use tonic::{Code, Status};

use super::assignment::{Assignment, Completion, WantedAction};
use crate::cancellation::{Cancellation, HangUp};
use crate::cas::{ActionCache, BlobStore, is_complete};
use crate::digest::Digest;
use crate::execute::{
    Execute, ExecuteError, Executed, MAX_ACTION_BYTES, Moment, Observer, OutputStream, Stage, Work,
    action_timeout, read_action,
};
use crate::queue::{CancelReason, Outcome, Refusal, Timeouts};
use crate::reapi::protobuf::Any;
use crate::reapi::{Action, ExecuteResponse, rpc, timestamp};
use crate::status::{execute_response, to_message};
use crate::worker::panics::text_of;

/// Gives the blobs of an instance, until nobody waits for them.
pub type BlobsUntil = dyn Fn(&str, &HangUp) -> Arc<dyn BlobStore> + Send + Sync;
/// Gives the action cache of all instances, until nobody waits for it.
pub type ResultsUntil = dyn Fn(&HangUp) -> Arc<dyn ActionCache> + Send + Sync;

/// What the runners of a pool share.
pub struct RunnerSettings {
    pub execute: Arc<dyn Execute>,
    pub blobs: Arc<BlobsUntil>,
    /// Where results go that others may use, if it is the worker that has to put them there.
    pub action_cache: Option<Arc<ResultsUntil>>,
    pub timeouts: Timeouts,
}

/// What a runner tells.
#[derive(Debug)]
pub enum RunnerEvent {
    Stage(Stage),
    /// Nothing of the action is left. `ran` says that it has run, and not only what came of it when it ran before was found.
    Ended {
        completion: Arc<Completion>,
        ran: bool,
    },
}

/// Runs the actions of one slot. Dropping it kills what runs, without waiting for its end.
pub struct Runner {
    jobs: Option<mpsc::Sender<Job>>,
    events: events::UnboundedReceiver<RunnerEvent>,
    running: Option<Arc<Ending>>,
}

struct Job {
    assignment: Box<Assignment>,
    /// What came of it when it ran before.
    remembered: Option<Arc<Completion>>,
    ending: Arc<Ending>,
}

/// How what runs may be ended from outside.
#[derive(Debug, Default)]
struct Ending {
    cancellation: Cancellation,
    /// It is still wanted, but this worker ends.
    closing: AtomicBool,
}

impl Runner {
    /// A runner for the slot with this name, which results name as their worker. Its thread ends once the runner was
    /// dropped and nothing of what ran is left; it is not for the runner to wait for that, which is dropped by a task: one
    /// that blocks may keep the calls from going on that the thread waits for.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub fn start(worker: String, settings: Arc<RunnerSettings>) -> io::Result<(Self, JoinHandle<()>)> {
        let (jobs, receiver) = mpsc::channel::<Job>();
        let (sender, events) = events::unbounded_channel();
        let thread = std::thread::Builder::new().name(worker.clone()).spawn(move || {
            let runs = Runs { worker, settings, events: sender };
            for job in receiver {
                let again = runs.again(&job);
                let ran = again.is_none();
                let completion = again.unwrap_or_else(|| Arc::new(runs.run(&job)));
                // Whoever does not listen any more has left.
                let _ = runs.events.send(RunnerEvent::Ended { completion, ran });
            }
        })?;
        Ok((Self { jobs: Some(jobs), events, running: None }, thread))
    }

    /// Starts an action. The one before must have ended. If it ran before and all that it made is still there, what came of
    /// it does once more.
    pub fn run(&mut self, assignment: Box<Assignment>, remembered: Option<Arc<Completion>>) {
        let ending = Arc::new(Ending::default());
        self.running = Some(Arc::clone(&ending));
        if let Some(jobs) = &self.jobs {
            // The thread lives as long as we do.
            let _ = jobs.send(Job { assignment, remembered, ending });
        }
    }

    /// Ends what runs; its end is told as an event.
    pub fn kill(&self) {
        if let Some(running) = &self.running {
            running.cancellation.cancel();
        }
    }

    /// As [`Runner::kill`], but what is told is that somebody else is to run it.
    pub fn kill_for_closing(&self) {
        if let Some(running) = &self.running {
            running.closing.store(true, Ordering::Relaxed);
            running.cancellation.cancel();
        }
    }

    /// What is to be told next. May be dropped in the middle.
    pub async fn event(&mut self) -> RunnerEvent {
        match self.events.recv().await {
            Some(event) => event,
            // Only if the thread is gone, which outlives us.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.kill_for_closing();
        drop(self.jobs.take());
    }
}

struct Runs {
    worker: String,
    settings: Arc<RunnerSettings>,
    events: events::UnboundedSender<RunnerEvent>,
}

impl Runs {
    /// What is remembered, if others can still make use of it.
    fn again(&self, Job { assignment, remembered, ending }: &Job) -> Option<Arc<Completion>> {
        let (completion, wanted) = (remembered.as_ref()?, assignment.wanted.as_ref().ok()?);
        let result = completion.response.result.as_ref()?;
        let hang_up = HangUp::default();
        ending.cancellation.watch(hang_up.clone());
        let look = AssertUnwindSafe(|| {
            let blobs = (self.settings.blobs)(&assignment.instance_name, &hang_up);
            is_complete(blobs, &wanted.digest, result)
        });
        // If that cannot be found out, the action finds out what is wrong.
        if !matches!(catch_unwind(look), Ok(Ok(true))) {
            return None;
        }
        let (action, worker) = (&wanted.digest, &self.worker);
        tracing::info!(%action, worker, "the action was handed out once more; its result is there");
        Some(Arc::clone(completion))
    }

    /// Whatever happens, the slot hears of the end: one that does not is lost.
    fn run(&self, job: &Job) -> Completion {
        // The executor is shared, and must be fit for use after a panic in another thread anyway.
        let run = AssertUnwindSafe(|| self.complete(job));
        catch_unwind(run).unwrap_or_else(|panic| {
            let wanted = job.assignment.wanted.as_ref();
            let action = wanted.map(|wanted| wanted.digest.to_string()).unwrap_or_default();
            let (worker, panic) = (&self.worker, text_of(&*panic));
            tracing::error!(action, worker, panic, "an action made its worker panic");
            let outcome = Outcome::WorkerFailed("its worker panicked".to_owned());
            let response = execute_response(&outcome, None);
            Completion { response, do_not_cache: true, ran_for: Duration::ZERO }
        })
    }

    fn complete(&self, Job { assignment, ending, .. }: &Job) -> Completion {
        let wanted = match &assignment.wanted {
            Ok(wanted) => wanted,
            Err(status) => {
                tracing::info!(worker = self.worker, problem = status.message(), "an action was not run");
                return refused(status);
            }
        };
        let started = Instant::now();
        let mut do_not_cache = true;
        let outcome = match self.execute(assignment, wanted, &ending.cancellation, &mut do_not_cache) {
            // Whatever kept it from going on: it was not to.
            Outcome::Failed(_) if ending.cancellation.check().is_err() => {
                if ending.closing.load(Ordering::Relaxed) {
                    Outcome::Cancelled(CancelReason::Closing)
                } else {
                    Outcome::Failed(ExecuteError::Cancelled)
                }
            }
            outcome => outcome,
        };
        let mut response = execute_response(&outcome, None);
        if let Some(status) = &mut response.status {
            elsewhere(status);
        }
        if let Some(metadata) = response.result.as_mut().and_then(|result| result.execution_metadata.as_mut())
        {
            metadata.queued_timestamp = Some(timestamp(assignment.queued_at));
            metadata.auxiliary_metadata.extend(assignment.auxiliary_metadata.iter().cloned());
        }
        Completion { response, do_not_cache, ran_for: started.elapsed() }
    }

    fn execute(
        &self,
        assignment: &Assignment,
        wanted: &WantedAction,
        cancellation: &Cancellation,
        do_not_cache: &mut bool,
    ) -> Outcome {
        let hang_up = HangUp::default();
        cancellation.watch(hang_up.clone());
        let blobs = (self.settings.blobs)(&assignment.instance_name, &hang_up);
        let work = match self.read(assignment, wanted, &*blobs) {
            Ok(Ok(work)) => work,
            Ok(Err(refusal)) => {
                tracing::info!(action = %wanted.digest, worker = self.worker, %refusal, "an action was not run");
                return Outcome::Refused(refusal);
            }
            Err(error) => {
                tracing::info!(action = %wanted.digest, worker = self.worker, %error, "an action was not run");
                return Outcome::Failed(error);
            }
        };
        *do_not_cache = work.action.do_not_cache;
        match self.settings.execute.execute(&work, self, cancellation) {
            Ok(executed) => {
                cancellation.watch(hang_up.clone());
                self.cache(&work, &executed, &hang_up);
                Outcome::Executed(executed)
            }
            Err(error) => Outcome::Failed(error),
        }
    }

    fn read(
        &self,
        assignment: &Assignment,
        wanted: &WantedAction,
        blobs: &dyn BlobStore,
    ) -> Result<Result<Work, Refusal>, ExecuteError> {
        if let Some(said) = &wanted.message {
            fetch_both(blobs, &wanted.digest, said);
        }
        let (mut action, command) = read_action(blobs, &wanted.digest)?;
        if let Some(said) = &wanted.message {
            // A scheduler fills in its own. The rest is what the digest says, whatever else was said: the result goes into
            // the action cache under that digest.
            action.timeout = said.timeout;
        }
        let Timeouts { default, maximum } = self.settings.timeouts;
        let asked = action_timeout(&action)?;
        if let Some(asked) = asked.filter(|asked| *asked > maximum) {
            return Ok(Err(Refusal::Timeout { asked, maximum }));
        }
        Ok(Ok(Work {
            instance_name: assignment.instance_name.clone(),
            action_digest: wanted.digest,
            action,
            command,
            timeout: asked.unwrap_or(default),
            queued_at: assignment.queued_at,
            worker: self.worker.clone(),
            request_metadata: assignment.request_metadata.clone(),
        }))
    }

    /// Before the client hears of the result, so that it is there when they ask for it.
    fn cache(&self, work: &Work, executed: &Executed, hang_up: &HangUp) {
        let Some(action_cache) = &self.settings.action_cache else { return };
        if work.action.do_not_cache || !executed.is_cacheable() {
            return;
        }
        let action_cache = action_cache(hang_up);
        if let Err(error) = action_cache.put(&work.instance_name, &work.action_digest, &executed.result) {
            tracing::warn!(action = %work.action_digest, %error, "a result could not be put into the action cache");
        }
    }
}

/// Has the action and its command here, by one call rather than by two. What goes wrong is seen when they are read.
fn fetch_both(blobs: &dyn BlobStore, digest: &Digest, said: &Action) {
    let command = Digest::from_field(digest.function, said.command_digest.as_ref()).ok();
    let both = [Some(*digest), command].into_iter().flatten();
    let both: Vec<Digest> = both.filter(|digest| digest.size_bytes <= MAX_ACTION_BYTES).collect();
    let _ = blobs.read_many(&both);
}

/// What this machine has run out of, another one may have.
fn elsewhere(status: &mut rpc::Status) {
    let is_limit = |detail: &Any| detail.type_url.ends_with("QuotaFailure");
    if status.code == Code::ResourceExhausted as i32 && !status.details.iter().any(is_limit) {
        status.code = Code::Unavailable as i32;
    }
}

fn refused(status: &Status) -> Completion {
    let response = ExecuteResponse { status: Some(to_message(status)), ..ExecuteResponse::default() };
    Completion { response, do_not_cache: true, ran_for: Duration::ZERO }
}

impl Observer for Runs {
    fn stage(&self, stage: Stage, _at: Moment) {
        let _ = self.events.send(RunnerEvent::Stage(stage));
    }

    /// Engines have no use for it before the end.
    fn output(&self, _stream: OutputStream, _bytes: &[u8]) {}
}
