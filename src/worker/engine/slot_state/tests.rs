//! The state machine without sockets: what a scheduler may say and what may happen, in any order.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;
use crate::digest::DigestFunction;
use crate::reapi::{ActionResult, ExecuteResponse};
use crate::worker::engine::assignment::WantedAction;

/// The action `name`, handed out as `id`.
fn handed_out(id: u32, name: u8) -> Box<Assignment> {
    Box::new(Assignment {
        id: id.to_string(),
        instance_name: String::new(),
        wanted: Ok(WantedAction { digest: DigestFunction::Sha256.digest(&[name]), message: None }),
        queued_at: SystemTime::UNIX_EPOCH,
        auxiliary_metadata: Vec::new(),
        request_metadata: None,
    })
}

fn completion() -> Arc<Completion> {
    let response = ExecuteResponse { result: Some(ActionResult::default()), ..ExecuteResponse::default() };
    Arc::new(Completion { response, do_not_cache: false, ran_for: Duration::from_secs(1) })
}

fn lost() -> SourceError {
    SourceError::Lost("lost".into())
}

fn forgotten() -> SourceError {
    SourceError::Forgotten("forgotten".into())
}

/// What was done, in words.
fn words(effects: &[Effect]) -> Vec<String> {
    let word = |effect: &Effect| match effect {
        Effect::Start(assignment) => format!("start {}", assignment.id),
        Effect::Kill => "kill".to_owned(),
        Effect::Remember { assignment, unsure, .. } => {
            format!("remember {}{}", assignment.id, if *unsure { " unsure" } else { "" })
        }
    };
    effects.iter().map(word).collect()
}

/// What is said, in words.
fn said(state: &SlotState) -> String {
    match state.report() {
        None => "nothing until something else is wanted".into(),
        Some(Report::Free) => "free".into(),
        Some(Report::Away { for_good }) => if for_good { "gone" } else { "away" }.into(),
        Some(Report::Busy { assignment, stage, .. }) => format!("busy {} {stage:?}", assignment.id),
        Some(Report::Ended { assignment, .. }) => format!("ended {}", assignment.id),
        Some(Report::Stopped { assignment }) => format!("stopped {}", assignment.id),
        Some(Report::Quiet) => "quiet".into(),
    }
}

fn answer(state: &mut SlotState, order: Order) -> Vec<String> {
    let asked = state.report().unwrap();
    words(&state.answered(&asked, order))
}

fn running(id: u32) -> SlotState {
    let mut state = SlotState::default();
    assert_eq!(answer(&mut state, Order::Run(handed_out(id, 1))), [format!("start {id}")]);
    state
}

#[test]
fn an_action_is_run_and_told_stage_by_stage() {
    let mut state = running(1);
    assert_eq!(said(&state), "busy 1 None");
    assert!(answer(&mut state, Order::Nothing).is_empty());
    state.reached(Stage::Running);
    assert_eq!(said(&state), "busy 1 Some(Running)");
    assert!(state.ended(completion()).is_empty());
    assert_eq!(said(&state), "ended 1");
    assert_eq!(answer(&mut state, Order::Nothing), ["remember 1"]);
    assert_eq!(said(&state), "free");
}

#[test]
fn the_answer_to_a_result_may_be_the_next_action() {
    let mut state = running(1);
    state.ended(completion());
    assert_eq!(answer(&mut state, Order::Run(handed_out(2, 2))), ["remember 1", "start 2"]);
    assert_eq!(said(&state), "busy 2 None");
}

#[test]
fn an_action_that_is_not_wanted_is_killed_and_its_end_told() {
    let mut state = running(1);
    assert_eq!(answer(&mut state, Order::Stop), ["kill"]);
    assert_eq!(said(&state), "quiet");
    assert!(answer(&mut state, Order::Stop).is_empty(), "it is killed once");
    assert!(state.ended(completion()).is_empty(), "what comes of it is nobody's");
    assert_eq!(said(&state), "stopped 1");
    answer(&mut state, Order::Nothing);
    assert_eq!(said(&state), "free");
}

#[test]
fn another_action_waits_until_the_one_before_is_dead() {
    let mut state = running(1);
    assert_eq!(answer(&mut state, Order::Run(handed_out(2, 2))), ["kill"]);
    assert_eq!(answer(&mut state, Order::Run(handed_out(3, 3))), [""; 0]);
    assert_eq!(words(&state.ended(completion())), ["start 3"]);
    assert_eq!(said(&state), "busy 3 None");
}

#[test]
fn the_same_action_under_another_name_goes_on() {
    let mut state = running(1);
    state.reached(Stage::Running);
    assert!(words(&state.failed(&forgotten())).is_empty());
    assert_eq!(said(&state), "free", "it asks for work while what it had runs on");
    assert!(answer(&mut state, Order::Run(handed_out(2, 1))).is_empty());
    assert_eq!(said(&state), "busy 2 Some(Running)");
    state.ended(completion());
    assert_eq!(said(&state), "ended 2");
}

#[test]
fn what_is_orphaned_ends_for_another_and_when_nobody_comes() {
    let mut state = running(1);
    state.failed(&forgotten());
    assert_eq!(answer(&mut state, Order::Run(handed_out(2, 2))), ["kill"]);
    assert_eq!(words(&state.ended(completion())), ["start 2"]);
    state.failed(&forgotten());
    assert!(state.is_orphaned());
    assert_eq!(words(&state.abandon()), ["kill"]);
    assert!(state.ended(completion()).is_empty());
    assert_eq!(said(&state), "free");
    let mut state = running(1);
    state.failed(&forgotten());
    assert_eq!(words(&state.ended(completion())), ["remember 1 unsure"], "for who comes too late");
}

#[test]
fn a_result_is_told_until_it_is_heard() {
    let mut state = running(1);
    state.ended(completion());
    for _ in 0..3 {
        assert!(state.failed(&lost()).is_empty());
        assert_eq!(said(&state), "ended 1");
    }
    assert_eq!(answer(&mut state, Order::Nothing), ["remember 1 unsure"]);
    state.ended(completion());
    assert_eq!(said(&state), "free");
}

#[test]
fn whoever_has_heard_of_an_action_since_is_sure_of_it() {
    let mut state = running(1);
    state.failed(&lost());
    answer(&mut state, Order::Nothing);
    state.ended(completion());
    assert_eq!(answer(&mut state, Order::Nothing), ["remember 1"]);
}

#[test]
fn who_is_unwell_takes_nothing_and_comes_back() {
    let mut state = running(1);
    assert!(state.wish(Wish::Rest).is_empty());
    state.ended(completion());
    answer(&mut state, Order::Nothing);
    assert_eq!(said(&state), "away");
    answer(&mut state, Order::Nothing);
    assert_eq!(said(&state), "nothing until something else is wanted");
    assert!(!state.is_over());
    state.wish(Wish::Work);
    assert_eq!(said(&state), "free");
}

#[test]
fn an_action_that_came_while_leaving_is_run_before_it_leaves() {
    let mut state = SlotState::default();
    state.wish(Wish::Leave);
    assert_eq!(said(&state), "gone");
    assert_eq!(answer(&mut state, Order::Run(handed_out(1, 1))), ["start 1"]);
    state.ended(completion());
    assert_eq!(answer(&mut state, Order::Nothing), ["remember 1"]);
    assert_eq!(said(&state), "gone");
    answer(&mut state, Order::Nothing);
    assert!(state.is_over());
    state.wish(Wish::Work);
    assert!(state.is_over(), "who is to leave does not come back");
}

#[test]
fn who_rests_and_is_to_leave_says_so() {
    let mut state = SlotState::default();
    state.wish(Wish::Rest);
    answer(&mut state, Order::Nothing);
    state.wish(Wish::Leave);
    assert_eq!(said(&state), "gone");
    answer(&mut state, Order::Nothing);
    assert!(state.is_over());
}

/// What may happen.
#[derive(Debug, Clone)]
enum Event {
    Nothing,
    Stop,
    Run(u8),
    Lost,
    Forgotten,
    Ended,
    Reached,
    Wish(Wish),
    Abandon,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => Just(Event::Nothing),
        1 => Just(Event::Stop),
        3 => (0..3_u8).prop_map(Event::Run),
        2 => Just(Event::Lost),
        1 => Just(Event::Forgotten),
        4 => Just(Event::Ended),
        1 => Just(Event::Reached),
        1 => prop_oneof![Just(Wish::Work), Just(Wish::Rest), Just(Wish::Leave)].prop_map(Event::Wish),
        1 => Just(Event::Abandon),
    ]
}

/// A machine that runs what it is told to.
#[derive(Default)]
struct Machine {
    running: Option<String>,
    killed: bool,
    started: u32,
}

impl Machine {
    fn apply(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Start(assignment) => {
                    assert_eq!(self.running, None, "two actions at a time in one slot");
                    self.running = Some(assignment.id);
                    self.killed = false;
                    self.started += 1;
                }
                Effect::Kill => {
                    assert!(self.running.is_some() && !self.killed, "what does not run was killed");
                    self.killed = true;
                }
                Effect::Remember { .. } => {}
            }
        }
    }
}

fn step(state: &mut SlotState, machine: &mut Machine, event: Event, id: u32) {
    let order = match event {
        Event::Nothing => Order::Nothing,
        Event::Stop => Order::Stop,
        Event::Run(name) => Order::Run(handed_out(id, name)),
        Event::Lost | Event::Forgotten => {
            let error = if matches!(event, Event::Lost) { lost() } else { forgotten() };
            if state.report().is_some() {
                machine.apply(state.failed(&error));
            }
            return;
        }
        Event::Ended => {
            if machine.running.take().is_some() {
                machine.apply(state.ended(completion()));
            }
            return;
        }
        Event::Reached => return state.reached(Stage::Running),
        Event::Wish(wish) => return machine.apply(state.wish(wish)),
        Event::Abandon => {
            if state.is_orphaned() {
                machine.apply(state.abandon());
            }
            return;
        }
    };
    if let Some(asked) = state.report() {
        machine.apply(state.answered(&asked, order));
    }
}

proptest! {
    #[test]
    fn whatever_happens_one_runs_at_a_time_and_leaving_ends(events in proptest::collection::vec(event(), 0..60)) {
        let mut state = SlotState::default();
        let mut machine = Machine::default();
        for (id, event) in events.into_iter().enumerate() {
            step(&mut state, &mut machine, event, id as u32);
            prop_assert_eq!(state.runs(), machine.running.is_some());
            if let Some(Report::Busy { .. }) = state.report() {
                prop_assert!(!machine.killed, "what was killed is not reported as running");
            }
        }
        // From anywhere, a worker that is to leave does so once its scheduler answers and what runs ends.
        let ending = [Event::Wish(Wish::Leave), Event::Ended, Event::Nothing, Event::Ended, Event::Nothing, Event::Nothing];
        let mut ending = VecDeque::from(ending);
        while let Some(event) = ending.pop_front() {
            step(&mut state, &mut machine, event, 1000);
        }
        prop_assert!(state.is_over(), "{:?}", state);
        prop_assert_eq!(machine.running, None);
    }
}
