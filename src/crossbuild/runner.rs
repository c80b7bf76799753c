//! Where a step runs: here, as a child process of our own executable.
//! Knows nothing of what the step is for.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use serde::Deserialize;

use super::failure::{BuildFailure, BuildFailureClass};
use super::interrupt::Interrupt;
use super::step::WheelStep;
use crate::sdist::report::Outcome;
use crate::sdist::{Failure, FailureClass};

/// Log lines kept for a step that ends without saying why.
const TAIL: usize = 30;

/// Runs steps on this machine.
#[derive(Debug)]
pub struct LocalRunner {
    executable: PathBuf,
    interrupt: Arc<Interrupt>,
}

impl LocalRunner {
    /// Runs steps with the crosswheel binary at `executable`.
    pub fn new(executable: PathBuf, interrupt: Arc<Interrupt>) -> Self {
        Self { executable, interrupt }
    }

    /// Runs `step` to its end. The wheel appears in `out`; `on_line` gets each line of the backend's
    /// output. A step that fails is an [`Outcome`], too; errors are ours.
    pub fn run(
        &self,
        step: &WheelStep,
        out: &Path,
        cache: &Path,
        mut on_line: impl FnMut(&str) + Send,
    ) -> Result<Outcome, BuildFailure> {
        let mut tail = VecDeque::with_capacity(TAIL);
        let mut command = Command::new(&self.executable);
        // The step ends when its standard input does: with us, however we end.
        command.args(step.arguments(out, cache)).stdin(Stdio::piped());
        let finished = self.interrupt.run(&mut command, |line| {
            on_line(line);
            if tail.len() == TAIL {
                tail.pop_front();
            }
            tail.push_back(line.to_owned());
        })?;
        if let Ok(outcome) = serde_json::from_slice(&finished.stdout) {
            return Ok(outcome);
        }
        match serde_json::from_slice::<Complaint>(&finished.stdout) {
            Ok(complaint) => Err(complaint.error.into()),
            Err(_) => Ok(Outcome::Failed(silent_end(finished.status, tail.into()))),
        }
    }
}

/// What `crosswheel wheel --json` prints when there is no outcome.
#[derive(Deserialize)]
struct Complaint {
    error: ComplaintError,
}

#[derive(Deserialize)]
struct ComplaintError {
    /// `usage` for a command line that makes no sense, `host` for a fault of the machine.
    kind: String,
    message: String,
}

impl From<ComplaintError> for BuildFailure {
    fn from(error: ComplaintError) -> Self {
        let class = match error.kind.as_str() {
            "usage" => BuildFailureClass::InvalidSource,
            _ => BuildFailureClass::LocalIo,
        };
        Self::new(class, error.message)
    }
}

/// The failure of a step that did not print its outcome.
fn silent_end(status: ExitStatus, evidence: Vec<String>) -> Failure {
    let (class, how) = match status.signal() {
        Some(signal) => (FailureClass::Killed, format!("was killed by signal {signal}")),
        None => (FailureClass::BackendError, format!("ended with {status}")),
    };
    let message = format!("`crosswheel wheel` {how} and did not say why");
    Failure { evidence, ..Failure::new(class, message) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::crossbuild::step::Customisation;
    use crate::digest::Sha256;
    use crate::sdist::interpreter::Interpreter;

    /// Runs a step whose program is a shell script.
    fn run(script: &str) -> Result<Outcome, BuildFailure> {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("crosswheel");
        fs_err::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs_err::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let interpreter = Interpreter::find("3", directory.path()).unwrap();
        let step = WheelStep {
            sdist: Path::new("/x/a-1.tar.gz"),
            sdist_sha256: Sha256::of(b"sdist"),
            build_wheels: Vec::new(),
            interpreter: &interpreter,
            target: interpreter.target(),
            glibc: None,
            rust: None,
            customisation: &Customisation::default(),
            sandbox: Default::default(),
            timeout: None,
        };
        let runner = LocalRunner::new(program, Interrupt::never());
        runner.run(&step, directory.path(), directory.path(), |_| ())
    }

    fn failure(script: &str) -> Failure {
        match run(script) {
            Ok(Outcome::Failed(failure)) => failure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_steps_own_failure_is_handed_on() {
        let text = r#"{"failed": {"class": "timeout", "message": "too slow"}}"#;
        assert_eq!(failure(&format!("echo '{text}'; exit 17")).class, FailureClass::Timeout);
    }

    #[test]
    fn a_step_that_dies_silently_is_a_failure_with_its_last_words() {
        let killed = failure("echo last words >&2; kill -9 $$");
        assert_eq!(killed.class, FailureClass::Killed);
        assert_eq!(killed.evidence, ["last words"]);
        assert_eq!(failure("echo not json").class, FailureClass::BackendError);
    }

    #[test]
    fn a_step_that_cannot_work_here_says_whose_fault_that_is() {
        let complain = |kind: &str| {
            let text = format!(r#"{{"error": {{"kind": "{kind}", "message": "no"}}}}"#);
            run(&format!("echo '{text}'; exit 1")).unwrap_err().class
        };
        assert_eq!(complain("host"), BuildFailureClass::LocalIo);
        assert_eq!(complain("usage"), BuildFailureClass::InvalidSource);
    }
}
