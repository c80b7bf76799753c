//! Where a slot's work comes from: what a slot says to its scheduler, and what it hears. Knows no protocol and no socket.

use std::error::Error as _;
use std::sync::Arc;

use tonic::Status;

use super::assignment::{Assignment, Completion};
use crate::execute::Stage;
use crate::remote::describe;

/// What is wanted of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Take work.
    Work,
    /// Take none for the time being; the machine is unwell.
    Rest,
    /// Take none any more, and end.
    Leave,
}

/// What a slot says.
#[derive(Debug, Clone)]
pub enum Report {
    /// Nothing runs, and something may come. The answer may take as long as there is nothing to do.
    Free,
    /// Nothing runs, and nothing is to come.
    Away {
        /// Until this worker is well again, or for ever.
        for_good: bool,
    },
    /// An action runs. The answer comes at once.
    Busy {
        assignment: Assignment,
        stage: Option<Stage>,
        /// What it would do next.
        wish: Wish,
    },
    /// An action has ended. The answer comes at once.
    Ended {
        assignment: Assignment,
        completion: Arc<Completion>,
        /// What it would do next.
        wish: Wish,
    },
    /// An action that the scheduler did not want any more is dead. The answer comes at once.
    Stopped { assignment: Assignment },
    /// Nothing to say; this only keeps the connection.
    Quiet,
}

/// What a slot hears.
#[derive(Debug, Clone)]
pub enum Order {
    /// Go on.
    Nothing,
    /// Run this, instead of whatever you run.
    Run(Box<Assignment>),
    /// Whatever you run is not wanted any more. An action that has ended has been reported.
    Stop,
}

/// Why there was no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceError {
    /// What was said may or may not have been heard.
    #[error("{0}")]
    Lost(String),
    /// The scheduler knows nothing of this slot any more: what it had is given to others.
    #[error("{0}")]
    Forgotten(String),
}

/// One slot's conversation with its scheduler.
pub trait WorkSource: Send {
    /// Says `report` and hears what follows. May be dropped in the middle: then it may or may not have been heard.
    fn exchange(&mut self, report: &Report) -> impl Future<Output = Result<Order, SourceError>> + Send;
}

/// What a call that failed has come to, as it is shown to people: on one line, and not at any length.
pub fn for_people(status: &Status) -> String {
    const MOST: usize = 500;
    let text = match status.source() {
        // Why there is no connection.
        Some(source) => describe(source),
        None if status.message().is_empty() => describe(status),
        None => status.message().to_owned(),
    };
    let shown = &text[..text.floor_char_boundary(MOST)];
    let more = if shown.len() < text.len() { "…" } else { "" };
    let shown = shown.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'");
    format!("{:?}: {shown}{more}", status.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_is_shown_on_one_line_and_not_at_any_length() {
        assert_eq!(for_people(&Status::not_found("no \"such\" thing")), "NotFound: no \"such\" thing");
        let shown = for_people(&Status::internal(format!("\u{1b}[2J\n{}", "é".repeat(5000))));
        assert!(shown.len() < 2000 && shown.ends_with('…'), "{shown}");
        assert!(!shown.contains(['\u{1b}', '\n']), "{shown}");
    }
}
