//! One slot at work: the state machine between its source and its runner. Knows no protocol.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::remembered::RememberedResults;
use super::runner::{Runner, RunnerEvent};
use super::slot_state::{Effect, SlotState, Wish};
use super::source::{Order, Report, SourceError, WorkSource};
use crate::remote::Backoff;

/// A scheduler hears of an action that runs this often, as it says only then that it is not wanted any more.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// How often a scheduler is asked for work that has none and says so at once.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// How long an action that the scheduler has forgotten goes on, for somebody to ask for it again.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(20);
/// How long a scheduler that does not answer is tried once nothing runs and the worker is to end.
const FAREWELL: Duration = Duration::from_secs(10);

/// What is wanted of all slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub wish: Wish,
    /// What still runs is to be killed.
    pub kill: bool,
}

/// What a slot is doing, for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotView {
    /// In a word.
    pub state: &'static str,
    /// Why the scheduler cannot be reached, if it cannot.
    pub trouble: Option<String>,
    /// Whether it was ever reached.
    pub reached: bool,
    /// Actions that were started so far.
    pub started: u64,
}

impl Default for SlotView {
    fn default() -> Self {
        Self { state: "idle", trouble: None, reached: false, started: 0 }
    }
}

/// One slot at work.
pub(super) struct EngineSlot<S> {
    pub name: String,
    pub source: S,
    pub runner: Runner,
    pub wanted: watch::Receiver<Wanted>,
    pub remembered: Arc<RememberedResults>,
    pub view: Arc<Mutex<SlotView>>,
}

/// What ended a turn of waiting.
enum Turn {
    Answer(Result<Order, SourceError>),
    /// Something else is to be said.
    Again,
}

impl<S: WorkSource> EngineSlot<S> {
    /// Works until it is to leave, and nothing is left to be done or said.
    pub async fn serve(mut self) {
        let mut state = SlotState::default();
        let mut backoff = Backoff::new(Duration::MAX);
        let mut farewell = None;
        let mut orphaned_since = None;
        loop {
            let wanted = *self.wanted.borrow_and_update();
            let effects = state.wish(wanted.wish);
            self.apply(&mut state, effects);
            if wanted.kill && state.runs() {
                self.runner.kill_for_closing();
            }
            if state.is_orphaned() {
                let since = *orphaned_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= ORPHAN_PATIENCE {
                    let effects = state.abandon();
                    self.apply(&mut state, effects);
                }
            } else {
                orphaned_since = None;
            }
            self.view.lock().state = state.name();
            if state.is_over() {
                return;
            }
            let Some(report) = state.report() else {
                // Away: until something else is wanted.
                if self.wanted.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let asked_at = Instant::now();
            let answer = match self.exchange(&report, &mut state).await {
                Turn::Answer(answer) => answer,
                Turn::Again => continue,
            };
            let until = match answer {
                Ok(order) => {
                    backoff.reset();
                    farewell = None;
                    self.reached();
                    let started = matches!(order, Order::Run(_));
                    let effects = state.answered(&report, order);
                    self.apply(&mut state, effects);
                    match report {
                        _ if started => None,
                        // What has ended while this was said is told at once.
                        Report::Busy { .. } | Report::Quiet if state.runs() => Some(REPORT_EVERY),
                        // Who does not let us wait for work is asked now and then.
                        Report::Free if asked_at.elapsed() < ASK_EVERY => Some(ASK_EVERY),
                        _ => None,
                    }
                }
                Err(error) => {
                    self.lost(&error);
                    let effects = state.failed(&error);
                    self.apply(&mut state, effects);
                    let silent_since = *farewell.get_or_insert_with(Instant::now);
                    let idle = !state.runs() && (!state.owes() || wanted.kill);
                    if wanted.wish == Wish::Leave && idle && silent_since.elapsed() >= FAREWELL {
                        tracing::warn!(
                            slot = self.name,
                            "the scheduler could not be told that this worker ends"
                        );
                        return;
                    }
                    let pause = backoff.pause().unwrap_or(REPORT_EVERY);
                    Some(if state.runs() || wanted.wish == Wish::Leave {
                        pause.min(REPORT_EVERY)
                    } else {
                        pause
                    })
                }
            };
            if let Some(pause) = until {
                self.wait(pause, &mut state).await;
            }
        }
    }

    /// Says `report` and waits for the answer. What happens meanwhile is noted; it is given up only if it may last, and
    /// something else is wanted.
    async fn exchange(&mut self, report: &Report, state: &mut SlotState) -> Turn {
        let lasts = matches!(report, Report::Free);
        let orphan_ends = tokio::time::Instant::now() + ORPHAN_PATIENCE;
        let mut effects = Vec::new();
        let turn = {
            let Self { source, runner, wanted, .. } = self;
            let exchange = source.exchange(report);
            tokio::pin!(exchange);
            loop {
                tokio::select! {
                    biased;
                    answer = &mut exchange => break Turn::Answer(answer),
                    event = runner.event() => effects.extend(note(state, event)),
                    // A sender that is gone wants nothing else.
                    Ok(()) = wanted.changed(), if lasts => break Turn::Again,
                    () = sleep_until(orphan_ends), if lasts && state.is_orphaned() => break Turn::Again,
                }
            }
        };
        self.apply(state, effects);
        turn
    }

    /// Waits, but no longer than until something happens.
    async fn wait(&mut self, pause: Duration, state: &mut SlotState) {
        let effects = tokio::select! {
            event = self.runner.event() => note(state, event),
            Ok(()) = self.wanted.changed() => Vec::new(),
            () = tokio::time::sleep(pause) => Vec::new(),
        };
        self.apply(state, effects);
    }

    fn apply(&mut self, state: &mut SlotState, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Start(assignment) => match self.remembered.take(&assignment) {
                    Some(completion) => {
                        let action = assignment.wanted.as_ref().map(|wanted| wanted.digest.to_string());
                        tracing::info!(
                            slot = self.name,
                            action = action.unwrap_or_default(),
                            "the action was handed out once more; its result is there"
                        );
                        state.ended(completion);
                    }
                    None => {
                        self.view.lock().started += 1;
                        self.runner.run(assignment);
                    }
                },
                Effect::Kill => self.runner.kill(),
                Effect::Remember { assignment, completion, unsure } => {
                    self.remembered.keep(&assignment, completion, unsure);
                }
            }
        }
    }

    fn reached(&self) {
        let mut view = self.view.lock();
        if view.trouble.take().is_some() {
            tracing::info!(slot = self.name, "the scheduler can be reached again");
        }
        view.reached = true;
    }

    fn lost(&self, error: &SourceError) {
        let mut view = self.view.lock();
        let text = error.to_string();
        // Once for each trouble, not for each attempt.
        if view.trouble.as_ref() != Some(&text) {
            tracing::warn!(slot = self.name, "{text}");
        }
        view.trouble = Some(text);
    }
}

fn note(state: &mut SlotState, event: RunnerEvent) -> Vec<Effect> {
    match event {
        RunnerEvent::Stage(stage) => {
            state.reached(stage);
            Vec::new()
        }
        RunnerEvent::Ended(completion) => state.ended(completion),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use tonic::Status;

    use super::super::assignment::Assignment;
    use super::super::runner::RunnerSettings;
    use super::*;
    use crate::cancellation::Cancellation;
    use crate::execute::{Execute, ExecuteError, Executed, Observer, Work};
    use crate::queue::Timeouts;

    /// Hands out one action that ends at once, and answers to whoever says that it runs only after that.
    struct SlowToAnswer {
        given: bool,
        heard: mpsc::UnboundedSender<Instant>,
    }

    impl WorkSource for SlowToAnswer {
        async fn exchange(&mut self, report: &Report) -> Result<Order, SourceError> {
            match report {
                Report::Free if !self.given => {
                    self.given = true;
                    return Ok(Order::Run(Box::new(Assignment {
                        id: "1".to_owned(),
                        instance_name: String::new(),
                        wanted: Err(Status::invalid_argument("refused before anything runs")),
                        queued_at: std::time::SystemTime::now(),
                        auxiliary_metadata: Vec::new(),
                        request_metadata: None,
                    })));
                }
                Report::Busy { .. } => tokio::time::sleep(Duration::from_millis(100)).await,
                Report::Ended { .. } => self.heard.send(Instant::now()).unwrap(),
                _ => {}
            }
            Ok(Order::Nothing)
        }
    }

    struct Never;

    impl Execute for Never {
        fn execute(&self, _: &Work, _: &dyn Observer, _: &Cancellation) -> Result<Executed, ExecuteError> {
            unreachable!("nothing is to run")
        }
    }

    /// With BuildGrid it took a second on every other action: the end was told with the report after the next.
    #[tokio::test]
    async fn what_ends_while_something_is_said_is_told_at_once() {
        let settings = RunnerSettings {
            execute: Arc::new(Never),
            blobs: Arc::new(|_| unreachable!("nothing is to be read")),
            action_cache: None,
            timeouts: Timeouts::default(),
        };
        let (heard, mut told) = mpsc::unbounded_channel();
        let (wish, wanted) = watch::channel(Wanted { wish: Wish::Work, kill: false });
        let slot = EngineSlot {
            name: "slot".to_owned(),
            source: SlowToAnswer { given: false, heard },
            runner: Runner::start("slot".to_owned(), Arc::new(settings)).unwrap(),
            wanted,
            remembered: Arc::default(),
            view: Arc::default(),
        };
        let begin = Instant::now();
        let serving = tokio::spawn(slot.serve());
        let told_after = told.recv().await.unwrap() - begin;
        assert!(told_after < REPORT_EVERY, "it was told after {told_after:?}");
        wish.send_replace(Wanted { wish: Wish::Leave, kill: false });
        serving.await.unwrap();
    }
}
