//! All slots of a worker: started, asked how they are, and ended together. Knows no protocol.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::bots::{BotIdentity, Bots};
use super::buildbarn::{Buildbarn, BuildbarnIdentity};
use super::nativelink::{NativeLink, NativeLinkIdentity};
use super::remembered::RememberedResults;
use super::runner::{Runner, RunnerSettings};
use super::schedulers::Schedulers;
use super::slot::{EngineSlot, Pace, SlotView, Wanted};
use super::source::{Wish, WorkSource};

/// How long slots may take to say goodbye once nothing is to run any more, and what runs to end then.
const GOODBYE: Duration = Duration::from_secs(20);

/// What a slot is to its engine.
#[derive(Debug, Clone)]
pub enum SlotIdentity {
    Buildbarn(BuildbarnIdentity),
    BuildGrid(BotIdentity),
    NativeLink(NativeLinkIdentity),
}

/// A slot to be started.
pub struct SlotSpec {
    /// Names it to people and in results.
    pub name: String,
    pub pool: String,
    pub identity: SlotIdentity,
    pub runner: Arc<RunnerSettings>,
}

/// The slots of a worker. Dropping them kills what runs, without waiting for its end.
pub struct EngineWorkers {
    wanted: watch::Sender<Wanted>,
    slots: Vec<SlotHandle>,
    tasks: JoinSet<()>,
    /// Those on which actions run.
    threads: Vec<JoinHandle<()>>,
}

/// One slot, for whoever watches.
#[derive(Debug, Clone)]
pub struct SlotHandle {
    pub name: String,
    pub pool: String,
    view: Arc<Mutex<SlotView>>,
}

impl SlotHandle {
    /// How it is.
    pub fn view(&self) -> SlotView {
        self.view.lock().clone()
    }
}

impl EngineWorkers {
    /// Starts all slots, which take work if this machine is well. Needs a Tokio runtime.
    ///
    /// # Errors
    /// If there can be no more threads. Those that were started end.
    pub fn start(schedulers: &Arc<Schedulers>, slots: Vec<SlotSpec>, is_well: bool) -> io::Result<Self> {
        let wish = if is_well { Wish::Work } else { Wish::Rest };
        let (wanted, receiver) = watch::channel(Wanted { wish, kill: false });
        let remembered = Arc::new(RememberedResults::default());
        let mut workers = Self { wanted, slots: Vec::new(), tasks: JoinSet::new(), threads: Vec::new() };
        for SlotSpec { name, pool, identity, runner } in slots {
            let view = Arc::new(Mutex::new(SlotView::default()));
            workers.slots.push(SlotHandle { name: name.clone(), pool, view: Arc::clone(&view) });
            let (runner, thread) = Runner::start(name.clone(), runner)?;
            workers.threads.push(thread);
            let common =
                Common { runner, name, wanted: receiver.clone(), remembered: Arc::clone(&remembered), view };
            let schedulers = Arc::clone(schedulers);
            match identity {
                SlotIdentity::Buildbarn(identity) => {
                    workers.tasks.spawn(common.serve(Buildbarn::new(schedulers, identity)))
                }
                SlotIdentity::BuildGrid(identity) => {
                    workers.tasks.spawn(common.serve(Bots::new(schedulers, identity)))
                }
                SlotIdentity::NativeLink(identity) => {
                    workers.tasks.spawn(common.serve(NativeLink::new(schedulers, identity)))
                }
            };
        }
        Ok(workers)
    }

    /// How all slots are.
    pub fn slots(&self) -> &[SlotHandle] {
        &self.slots
    }

    /// What decides whether they take work, for whoever knows how this machine is.
    pub fn switch(&self) -> WorkSwitch {
        WorkSwitch(self.wanted.clone())
    }

    /// Takes no more work, and returns once what runs has ended and the scheduler knows. After `grace`, or when `kill` is
    /// there, what still runs is killed, and the scheduler told that somebody else is to run it.
    pub async fn drain(mut self, grace: Duration, kill: impl Future<Output = ()>) {
        self.wanted.send_replace(Wanted { wish: Wish::Leave, kill: false });
        let have_ended = async |tasks: &mut JoinSet<()>| while tasks.join_next().await.is_some() {};
        let is_calm = tokio::select! {
            () = have_ended(&mut self.tasks) => true,
            () = tokio::time::sleep(grace) => false,
            () = kill => false,
        };
        if !is_calm {
            let running = self.slots.iter().filter(|slot| slot.view().state == "executing").count();
            tracing::warn!(running, ?grace, "killing the actions that still run");
            self.wanted.send_replace(Wanted { wish: Wish::Leave, kill: true });
            if tokio::time::timeout(GOODBYE, have_ended(&mut self.tasks)).await.is_err() {
                tracing::warn!(
                    "the scheduler could not be told that this worker ends, or how its actions did"
                );
            }
        }
        // What is left of the tasks goes now, and with them what still runs.
        let Self { mut tasks, threads, .. } = self;
        tasks.abort_all();
        let joined = tokio::task::spawn_blocking(move || {
            // Panics of an action are caught; whatever else there was has been printed.
            threads.into_iter().for_each(|thread| drop(thread.join()));
        });
        if tokio::time::timeout(GOODBYE, joined).await.is_err() {
            tracing::warn!("some actions could not be killed");
        }
    }
}

/// Decides whether slots take work.
#[derive(Debug, Clone)]
pub struct WorkSwitch(watch::Sender<Wanted>);

impl WorkSwitch {
    /// From now on they do, or do not; what runs goes on. Those that are to leave take none in any case.
    pub fn take_work(&self, takes: bool) {
        let wish = if takes { Wish::Work } else { Wish::Rest };
        self.0.send_if_modified(|wanted| {
            let changes = wanted.wish != Wish::Leave && wanted.wish != wish;
            if changes {
                wanted.wish = wish;
            }
            changes
        });
    }
}

/// What slots have, whatever their protocol.
struct Common {
    name: String,
    runner: Runner,
    wanted: watch::Receiver<Wanted>,
    remembered: Arc<RememberedResults>,
    view: Arc<Mutex<SlotView>>,
}

impl Common {
    async fn serve<S: WorkSource>(self, source: S) {
        let Self { name, runner, wanted, remembered, view } = self;
        let shown = Arc::clone(&view);
        let slot = EngineSlot { name, source, runner, wanted, remembered, view, pace: Pace::default() };
        // Nothing else would say that it takes no work any more.
        if AssertUnwindSafe(slot.serve()).catch_unwind().await.is_err() {
            let mut shown = shown.lock();
            shown.state = "lost";
            shown.trouble = Some("a slot is lost; this is a bug in crosswheel, its log says more".to_owned());
        }
    }
}
