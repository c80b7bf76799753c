//! One slot at work: the state machine between its source and its runner. Knows no protocol.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::assignment::{Assignment, Completion};
use super::remembered::RememberedResults;
use super::runner::{Runner, RunnerEvent};
use super::slot_state::{Effect, SlotState};
use super::source::{Order, Report, SourceError, Wish, WorkSource};
use crate::remote::Backoff;

/// A scheduler hears of an action that runs this often, as it says only then that it is not wanted any more.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// How often a scheduler is asked for work that has none and says so at once.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// How often an action is begun, if the one before has come to nothing: a scheduler that hands out what cannot be run, or
/// something else all the time, is not to keep this machine busy.
const BEGIN_EVERY: Duration = ASK_EVERY;
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
    pub pace: Pace,
}

/// How fast actions are begun.
#[derive(Debug, Default)]
pub(super) struct Pace {
    begun_at: Option<Instant>,
    /// The last one has come to nothing.
    is_fruitless: bool,
    /// Nothing is to be said before.
    not_before: Option<Instant>,
}

/// What ended a turn of waiting.
enum Turn {
    Answer {
        answer: Result<Order, SourceError>,
        /// Something has happened to what runs since the report was made.
        is_old: bool,
    },
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
            self.keep_pace(&mut state).await;
            let wanted = *self.wanted.borrow_and_update();
            let effects = state.wish(wanted.wish);
            self.apply(effects);
            if wanted.kill && state.runs() {
                self.runner.kill_for_closing();
            }
            if state.is_orphaned() {
                let since = *orphaned_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= ORPHAN_PATIENCE {
                    let effects = state.abandon();
                    self.apply(effects);
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
            let (answer, is_old) = match self.exchange(&report, &mut state).await {
                Turn::Answer { answer, is_old } => (answer, is_old),
                Turn::Again => continue,
            };
            let until = match answer {
                Ok(order) => {
                    backoff.reset();
                    farewell = None;
                    self.reached();
                    let effects = state.answered(&report, order);
                    let started = effects.iter().any(|effect| matches!(effect, Effect::Start(_)));
                    self.apply(effects);
                    pause(&report, started, is_old, asked_at.elapsed())
                }
                Err(error) => {
                    self.lost(&error);
                    let effects = state.failed(&error);
                    self.apply(effects);
                    let silent_since = *farewell.get_or_insert(asked_at);
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
        let leaves = matches!(report, Report::Away { .. });
        let now = tokio::time::Instant::now();
        let (orphan_ends, farewell_ends) = (now + ORPHAN_PATIENCE, now + FAREWELL);
        let (mut effects, mut is_old) = (Vec::new(), false);
        let turn = {
            let Self { source, runner, wanted, pace, .. } = self;
            let exchange = source.exchange(report);
            tokio::pin!(exchange);
            loop {
                tokio::select! {
                    biased;
                    answer = &mut exchange => break Turn::Answer { answer, is_old },
                    event = runner.event() => {
                        effects.extend(note(state, pace, event));
                        is_old = true;
                    }
                    // A sender that is gone wants nothing else.
                    Ok(()) = wanted.changed() => {
                        if lasts {
                            break Turn::Again;
                        }
                        // A scheduler that does not answer is no reason to let it run.
                        if wanted.borrow().kill && state.runs() {
                            runner.kill_for_closing();
                        }
                    }
                    () = sleep_until(orphan_ends), if lasts && state.is_orphaned() => break Turn::Again,
                    () = sleep_until(farewell_ends), if leaves => {
                        let answer = Err(SourceError::Lost("the scheduler does not answer".to_owned()));
                        break Turn::Answer { answer, is_old };
                    }
                }
            }
        };
        self.apply(effects);
        turn
    }

    /// Waits, but no longer than until something happens.
    async fn wait(&mut self, pause: Duration, state: &mut SlotState) {
        let effects = tokio::select! {
            event = self.runner.event() => note(state, &mut self.pace, event),
            Ok(()) = self.wanted.changed() => Vec::new(),
            () = tokio::time::sleep(pause) => Vec::new(),
        };
        self.apply(effects);
    }

    /// Waits until something may be said again. What happens meanwhile is noted.
    async fn keep_pace(&mut self, state: &mut SlotState) {
        let Some(until) = self.pace.not_before.take() else { return };
        loop {
            let event = tokio::select! {
                event = self.runner.event() => event,
                () = sleep_until(until.into()) => return,
            };
            let effects = note(state, &mut self.pace, event);
            self.apply(effects);
        }
    }

    fn apply(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Start(assignment) => {
                    let remembered = self.begin(&assignment);
                    if remembered.is_none() {
                        self.view.lock().started += 1;
                    }
                    self.runner.run(assignment, remembered);
                }
                Effect::Kill => {
                    self.pace.is_fruitless = true;
                    self.runner.kill();
                }
                Effect::Remember { assignment, completion, unsure } => {
                    self.remembered.keep(&assignment, completion, unsure);
                }
            }
        }
    }

    /// The result of what is to begin, if it has run before.
    fn begin(&mut self, assignment: &Assignment) -> Option<Arc<Completion>> {
        let now = Instant::now();
        let before = self.pace.begun_at.replace(now);
        let next = before.filter(|_| self.pace.is_fruitless).map(|before| before + BEGIN_EVERY);
        self.pace.not_before = next.filter(|next| *next > now);
        self.remembered.take(assignment)
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

fn note(state: &mut SlotState, pace: &mut Pace, event: RunnerEvent) -> Vec<Effect> {
    match event {
        RunnerEvent::Stage(stage) => {
            state.reached(stage);
            Vec::new()
        }
        RunnerEvent::Ended { completion, ran } => {
            pace.is_fruitless = !ran || completion.response.result.is_none();
            state.ended(completion)
        }
    }
}

/// How long there is nothing to be said after `report` was answered, unless something happens.
fn pause(report: &Report, started: bool, is_old: bool, answered_after: Duration) -> Option<Duration> {
    match report {
        // There is more to be said already.
        _ if started || is_old => None,
        Report::Busy { .. } | Report::Quiet => Some(REPORT_EVERY),
        // Who does not let us wait for work is asked now and then.
        Report::Free if answered_after < ASK_EVERY => Some(ASK_EVERY),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_while_something_was_said_is_told_at_once() {
        let fast = Duration::ZERO;
        assert_eq!(pause(&Report::Quiet, false, false, fast), Some(REPORT_EVERY));
        assert_eq!(pause(&Report::Quiet, false, true, fast), None);
        assert_eq!(pause(&Report::Quiet, true, false, fast), None);
        assert_eq!(pause(&Report::Free, false, false, fast), Some(ASK_EVERY));
        assert_eq!(pause(&Report::Free, false, false, ASK_EVERY), None);
        assert_eq!(pause(&Report::Away { for_good: true }, false, false, fast), None);
    }
}
