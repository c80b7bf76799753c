//! How failures look to a person, and the exit codes as `--help` documents them.

use std::fmt::Write;
use std::process::ExitCode;

use serde::Serialize;

use super::output::{complain, print};
use crate::step::Failure;

/// The exit codes of building a wheel, for `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
   0  a verified wheel was written
   1  this machine is at fault (disk full, no permission)
   2  the command line makes no sense
  10  missing build requirement
  11  missing system header or library
  12  missing compiler or tool
  13  network access during build
  14  backend drift / invalid metadata
  15  requires newer Python
  16  out of memory or killed
  17  timeout
  18  archive refused
  19  wheel refused
  20  backend error
 130  interrupted by Ctrl-C (128 + the signal's number)";

/// A command line that makes no sense, in documents.
pub const USAGE: &str = "usage";

/// A fault of this machine, in documents.
pub const HOST: &str = "host";

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
    report(json, USAGE, message);
    ExitCode::from(2)
}

/// Reports a fault of this machine: exit code 1.
pub fn internal(json: bool, message: &str) -> ExitCode {
    report(json, HOST, message);
    ExitCode::from(1)
}

/// The document for what is not the project's fault; `kind` is [`USAGE`] or [`HOST`].
pub fn complaint(kind: &str, message: &str) -> serde_json::Value {
    serde_json::json!({ "error": { "kind": kind, "message": message } })
}

fn report(json: bool, kind: &str, message: &str) {
    if json {
        print_json(&complaint(kind, message));
    }
    complain(&format!("error: {message}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::FailureClass;

    #[test]
    fn every_class_stands_in_the_help_with_its_code() {
        for class in FailureClass::ALL {
            let line = format!("{:>4}  {}", class.exit_code(), class.title());
            assert!(EXIT_CODES.lines().any(|documented| documented == line), "{line}");
        }
    }

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
