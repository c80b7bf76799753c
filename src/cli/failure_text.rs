//! How failures look, to a person and in documents.

use std::fmt::Write;
use std::process::ExitCode;

use serde::Serialize;

use super::exit_codes;
use super::output::{complain, print};
use crate::contract::{Answer, AnswerError, Failure};

/// The failure in plain words: what happened, the lines that show it, what to do.
pub fn describe(failure: &Failure) -> String {
    let mut text = format!("error: {failure}\n");
    for line in &failure.evidence {
        let _ = writeln!(text, "  | {line}");
    }
    if let Some(hint) = &failure.hint {
        let _ = writeln!(text, "hint: {hint}");
    }
    text
}

/// Prints `document` as one line on standard output.
pub fn print_json(document: &impl Serialize) {
    match serde_json::to_string(document) {
        Ok(text) => print(&text),
        Err(error) => complain(&format!("error: cannot write JSON: {error}")),
    }
}

/// Reports a command line that makes no sense: exit code 2.
pub fn usage(json: bool, message: &str) -> ExitCode {
    report(json, AnswerError::usage(message));
    ExitCode::from(exit_codes::USAGE)
}

/// Reports a fault of this machine: exit code 1.
pub fn internal(json: bool, message: &str) -> ExitCode {
    report(json, AnswerError::host(message));
    ExitCode::from(exit_codes::FAILED)
}

fn report(json: bool, error: AnswerError) {
    complain(&format!("error: {}", error.message));
    if json {
        print_json(&Answer::Error(error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::FailureClass;

    #[test]
    fn a_failure_shows_what_happened_the_evidence_and_what_to_do() {
        let mut failure = Failure::new(FailureClass::MissingTool, "the build needs the program gcc")
            .with_hint("on Debian and Ubuntu: apt-get install gcc");
        failure.evidence.push("error: command 'gcc' failed".into());
        insta::assert_snapshot!(describe(&failure), @r"
        error: missing compiler or tool: the build needs the program gcc
          | error: command 'gcc' failed
        hint: on Debian and Ubuntu: apt-get install gcc
        ");
    }
}
