//! Where a step runs: here, as a child process of our own executable.
//! Knows nothing of what the step is for.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use super::failure::BuildFailure;
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
        command.args(step.arguments(out, cache)).stdin(Stdio::null());
        let finished = self.interrupt.run(&mut command, |line| {
            on_line(line);
            if tail.len() == TAIL {
                tail.pop_front();
            }
            tail.push_back(line.to_owned());
        })?;
        match serde_json::from_slice(&finished.stdout) {
            Ok(outcome) => Ok(outcome),
            Err(_) => Ok(Outcome::Failed(silent_end(finished.status, tail.into()))),
        }
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
