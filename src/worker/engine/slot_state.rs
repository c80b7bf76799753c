//! What a slot does, whatever protocol its scheduler speaks: a state, and what changes it. Knows nothing of sockets,
//! threads and clocks.
//!
//! ```text
//!            Run               ended              Nothing, Stop
//!   Free ───────────► Running ───────► Delivering ─────────────► Free
//!    │ ▲               │    │ forgotten
//!    │ │               │    └────────► Orphaned ── Run of the same ──► Running
//!    │ │   dead        │ Stop, Run        │ Run of another, too long
//!    │ └── Confirming ◄┴── Ending ◄───────┘
//!    ▼
//!   Away
//! ```

use std::sync::Arc;

use super::assignment::{Assignment, Completion};
use super::source::{Order, Report, SourceError, Wish};
use crate::execute::Stage;

/// What a change of state wants done.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Nothing runs: start this.
    Start(Box<Assignment>),
    /// End what runs. Its end is still to be told.
    Kill,
    /// Nobody may have been given this. `unsure` says that the scheduler was out of reach in between.
    Remember { assignment: Box<Assignment>, completion: Arc<Completion>, unsure: bool },
}

/// The state of a slot.
#[derive(Debug)]
pub struct SlotState {
    phase: Phase,
    wish: Wish,
    /// The scheduler was out of reach since the last action came.
    unsure: bool,
}

#[derive(Debug)]
enum Phase {
    /// Nothing runs.
    Free,
    /// Nothing runs, and the scheduler knows that nothing is to come.
    Away {
        for_good: bool,
    },
    Running {
        assignment: Assignment,
        stage: Option<Stage>,
    },
    /// It runs, and the scheduler does not know of it any more; but it may hand it out again.
    Orphaned {
        assignment: Assignment,
        stage: Option<Stage>,
    },
    /// It was killed, and is not dead yet. `tell` says that the scheduler wants to know when it is.
    Ending {
        unwanted: Assignment,
        tell: bool,
        next: Option<Box<Assignment>>,
    },
    /// Dead, and the scheduler is to be told.
    Confirming {
        assignment: Assignment,
    },
    /// It has ended, and the scheduler is to be told how.
    Delivering {
        assignment: Assignment,
        completion: Arc<Completion>,
    },
}

impl Default for SlotState {
    fn default() -> Self {
        Self { phase: Phase::Free, wish: Wish::Work, unsure: false }
    }
}

impl SlotState {
    /// What to say next; nothing if there is nothing until the wish changes.
    pub fn report(&self) -> Option<Report> {
        Some(match &self.phase {
            Phase::Free | Phase::Orphaned { .. } if self.wish == Wish::Work => Report::Free,
            Phase::Free => Report::Away { for_good: self.wish == Wish::Leave },
            Phase::Orphaned { .. } | Phase::Ending { .. } => Report::Quiet,
            Phase::Away { .. } => return None,
            Phase::Running { assignment, stage } => {
                Report::Busy { assignment: assignment.clone(), stage: *stage, wish: self.wish }
            }
            Phase::Confirming { assignment } => Report::Stopped { assignment: assignment.clone() },
            Phase::Delivering { assignment, completion } => Report::Ended {
                assignment: assignment.clone(),
                completion: Arc::clone(completion),
                wish: self.wish,
            },
        })
    }

    /// Whether it is to end, and may.
    pub fn is_over(&self) -> bool {
        self.wish == Wish::Leave && matches!(self.phase, Phase::Away { for_good: true })
    }

    /// Whether something runs on this machine.
    pub fn runs(&self) -> bool {
        matches!(self.phase, Phase::Running { .. } | Phase::Orphaned { .. } | Phase::Ending { .. })
    }

    /// Whether something has ended that the scheduler does not know of yet.
    pub fn owes(&self) -> bool {
        matches!(self.phase, Phase::Delivering { .. })
    }

    /// Whether what runs is nobody's.
    pub fn is_orphaned(&self) -> bool {
        matches!(self.phase, Phase::Orphaned { .. })
    }

    /// In a word, for people.
    pub fn name(&self) -> &'static str {
        match &self.phase {
            Phase::Free => "idle",
            Phase::Away { .. } => "away",
            Phase::Running { .. } | Phase::Orphaned { .. } => "executing",
            Phase::Ending { .. } | Phase::Confirming { .. } => "stopping",
            Phase::Delivering { .. } => "reporting",
        }
    }

    /// Something else is wanted of it.
    pub fn wish(&mut self, wish: Wish) -> Vec<Effect> {
        // Whoever is to leave does not come back.
        if self.wish != Wish::Leave {
            self.wish = wish;
        }
        match &self.phase {
            Phase::Away { for_good }
                if self.wish == Wish::Work || (self.wish == Wish::Leave && !for_good) =>
            {
                self.phase = Phase::Free;
                Vec::new()
            }
            Phase::Orphaned { .. } if self.wish != Wish::Work => self.abandon(),
            _ => Vec::new(),
        }
    }

    /// What runs has come to a stage.
    pub fn reached(&mut self, reached: Stage) {
        if let Phase::Running { stage, .. } | Phase::Orphaned { stage, .. } = &mut self.phase {
            *stage = Some(reached);
        }
    }

    /// What ran has ended; nothing of it is left.
    pub fn ended(&mut self, completion: Arc<Completion>) -> Vec<Effect> {
        match std::mem::replace(&mut self.phase, Phase::Free) {
            Phase::Running { assignment, .. } => {
                self.phase = Phase::Delivering { assignment, completion };
                Vec::new()
            }
            Phase::Orphaned { assignment, .. } => {
                vec![Effect::Remember { assignment: Box::new(assignment), completion, unsure: true }]
            }
            Phase::Ending { next: Some(next), .. } => self.start(next),
            Phase::Ending { unwanted, tell: true, next: None } => {
                self.phase = Phase::Confirming { assignment: unwanted };
                Vec::new()
            }
            Phase::Ending { .. } => Vec::new(),
            other => {
                self.phase = other;
                Vec::new()
            }
        }
    }

    /// Nobody has asked for what is orphaned, and nobody is expected to any more.
    pub fn abandon(&mut self) -> Vec<Effect> {
        self.end(false, None)
    }

    /// The scheduler has answered to `asked`.
    pub fn answered(&mut self, asked: &Report, order: Order) -> Vec<Effect> {
        if matches!((asked, &order), (Report::Busy { .. }, Order::Nothing)) {
            // It knows the action.
            self.unsure = false;
        }
        match order {
            Order::Run(assignment) => self.run(assignment),
            Order::Stop => {
                let mut effects = self.delivered();
                effects.extend(self.end(true, None));
                self.settle(asked);
                effects
            }
            Order::Nothing => {
                let effects =
                    if matches!(asked, Report::Ended { .. }) { self.delivered() } else { Vec::new() };
                self.settle(asked);
                effects
            }
        }
    }

    /// There was no answer.
    pub fn failed(&mut self, error: &SourceError) -> Vec<Effect> {
        self.unsure = true;
        match (error, std::mem::replace(&mut self.phase, Phase::Free)) {
            (SourceError::Lost(_), phase) => {
                self.phase = phase;
                Vec::new()
            }
            (SourceError::Forgotten(_), Phase::Running { assignment, stage }) => {
                self.phase = Phase::Orphaned { assignment, stage };
                // An orphan is kept for somebody who may come for it.
                if self.wish == Wish::Work { Vec::new() } else { self.abandon() }
            }
            (SourceError::Forgotten(_), Phase::Delivering { assignment, completion }) => {
                vec![Effect::Remember { assignment: Box::new(assignment), completion, unsure: true }]
            }
            (SourceError::Forgotten(_), Phase::Confirming { .. }) => Vec::new(),
            (SourceError::Forgotten(_), Phase::Ending { unwanted, next: _, .. }) => {
                // What was to come next is given to others, too.
                self.phase = Phase::Ending { unwanted, tell: false, next: None };
                Vec::new()
            }
            (SourceError::Forgotten(_), phase) => {
                self.phase = phase;
                Vec::new()
            }
        }
    }

    /// A report has been heard that ends a phase.
    fn settle(&mut self, asked: &Report) {
        match (&self.phase, asked) {
            (Phase::Confirming { .. }, Report::Stopped { .. }) => self.phase = Phase::Free,
            // The wish may have changed since.
            (Phase::Free, Report::Away { for_good }) if self.wish != Wish::Work => {
                self.phase = Phase::Away { for_good: *for_good };
            }
            _ => {}
        }
    }

    fn run(&mut self, assignment: Box<Assignment>) -> Vec<Effect> {
        let mut effects = self.delivered();
        match &mut self.phase {
            Phase::Running { assignment: current, .. } | Phase::Orphaned { assignment: current, .. } => {
                if current.key().is_some() && current.key() == assignment.key() {
                    // The same under another name, perhaps.
                    let stage = match &self.phase {
                        Phase::Running { stage, .. } | Phase::Orphaned { stage, .. } => *stage,
                        _ => None,
                    };
                    self.phase = Phase::Running { assignment: *assignment, stage };
                } else {
                    effects.extend(self.end(false, Some(assignment)));
                }
            }
            Phase::Ending { next, .. } => *next = Some(assignment),
            Phase::Free | Phase::Away { .. } | Phase::Confirming { .. } | Phase::Delivering { .. } => {
                effects.extend(self.start(assignment));
            }
        }
        effects
    }

    fn start(&mut self, assignment: Box<Assignment>) -> Vec<Effect> {
        self.unsure = false;
        self.phase = Phase::Running { assignment: (*assignment).clone(), stage: None };
        vec![Effect::Start(assignment)]
    }

    /// What was to be delivered has been, as far as can be told.
    fn delivered(&mut self) -> Vec<Effect> {
        match std::mem::replace(&mut self.phase, Phase::Free) {
            Phase::Delivering { assignment, completion } => {
                let (assignment, unsure) = (Box::new(assignment), self.unsure);
                vec![Effect::Remember { assignment, completion, unsure }]
            }
            other => {
                self.phase = other;
                Vec::new()
            }
        }
    }

    /// Ends what runs, if anything does and it has not been ended.
    fn end(&mut self, tell: bool, next: Option<Box<Assignment>>) -> Vec<Effect> {
        match std::mem::replace(&mut self.phase, Phase::Free) {
            Phase::Running { assignment, .. } | Phase::Orphaned { assignment, .. } => {
                self.phase = Phase::Ending { unwanted: assignment, tell, next };
                vec![Effect::Kill]
            }
            Phase::Ending { unwanted, tell, .. } => {
                self.phase = Phase::Ending { unwanted, tell, next };
                Vec::new()
            }
            other => {
                self.phase = other;
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests;
