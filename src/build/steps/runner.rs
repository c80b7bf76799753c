//! Runs steps through the executor, and tells what came of them. Knows nothing of what a step is for.

use std::sync::Arc;

use super::check_step::CheckStep;
use super::executor::Executor;
use super::step_action::{OUT, Step, StepReport};
use crate::build::interrupt::Interrupt;
use crate::build::progress::Task;
use crate::build::resolve::lines::{Lines, last_lines};
use crate::build::targets::placement::Placement;
use crate::client::{Client, ClientError, Finished, Job, JobEvent, Output};
use crate::contract::{
    Answer, AnswerError, CHECK_SUBCOMMAND, CheckAnswer, CheckReport, ErrorKind, Failure, FailureClass,
};
use crate::platform::Target;

/// Log lines kept for a step that ends without saying why.
const TAIL: usize = 30;

/// Runs the steps for a target.
pub(crate) struct Runner {
    executor: Arc<Executor>,
    target: Target,
    placement: Placement,
    interrupt: Arc<Interrupt>,
    /// Show what backends print while they do.
    follow: bool,
}

/// In the salt of steps on a host that does not allow what the others do.
const REDUCED_ISOLATION: &[u8] = b"\0without namespaces";

/// What came of a step.
#[derive(Debug)]
pub(crate) enum Ran<R> {
    /// A file, still with the executor.
    Built { report: Box<R>, file: Output, cached: bool, worker: String },
    /// The step's own failure.
    Failed(Failure),
}

impl Runner {
    pub(crate) fn new(
        executor: Arc<Executor>,
        target: Target,
        placement: Placement,
        interrupt: Arc<Interrupt>,
        follow: bool,
    ) -> Self {
        Self { executor, target, placement, interrupt, follow }
    }

    /// Runs `step` to its end, or finds out how it ended before. `stage` says what it is to those who wait; they
    /// get to see each line of the backend's output, too. A step that fails is a [`Ran`]; errors are ours.
    pub(crate) fn run<S: Step>(
        &self,
        step: &S,
        rebuild: bool,
        stage: &str,
        task: &Task,
    ) -> Result<Ran<S::Report>, Failure> {
        let mut job = step.job(&self.placement)?;
        job.skip_cache = rebuild;
        let reduced = self.executor.has_reduced_isolation()?;
        if reduced {
            // What comes of it is not the result of the same action where there is more.
            job.salt.extend_from_slice(REDUCED_ISOLATION);
        }
        match self.run_job(&job, step, stage, task)? {
            // Of a time when only what is within the executor's sandbox could not have one.
            Ran::Built { report, cached: true, .. } if !reduced && report.isolation().is_reduced() => {
                job.skip_cache = true;
                self.run_job(&job, step, stage, task)
            }
            ran => Ok(ran),
        }
    }

    fn run_job<S: Step>(
        &self,
        job: &Job,
        step: &S,
        stage: &str,
        task: &Task,
    ) -> Result<Ran<S::Report>, Failure> {
        match self.end_of(job, stage, task)? {
            Ok(finished) => self.interpret(finished),
            Err(ClientError::TimedOut(message)) => Ok(Ran::Failed(timed_out(&message, step.timeout()))),
            Err(error) => Err(error.into()),
        }
    }

    /// Runs `step` to its end, or finds out how it ended before, unless it is to run `again`. Problems of wheels are in the
    /// report; errors are ours.
    pub(crate) fn check(&self, step: &CheckStep, again: bool, task: &Task) -> Result<CheckReport, Failure> {
        let mut job = step.job(&self.placement)?;
        job.skip_cache = again;
        let reduced = self.executor.has_reduced_isolation()?;
        if reduced {
            job.salt.extend_from_slice(REDUCED_ISOLATION);
        }
        let run = |job: &Job| {
            let finished = self.end_of(job, "checking", task)??;
            Ok::<_, Failure>((finished.cached, self.interpret_check(&finished)?))
        };
        match run(&job)? {
            // As in `run`.
            (true, report) if !reduced && report.isolation.is_reduced() => {
                job.skip_cache = true;
                Ok(run(&job)?.1)
            }
            (_, report) => Ok(report),
        }
    }

    fn interpret_check(&self, finished: &Finished) -> Result<CheckReport, Failure> {
        match serde_json::from_slice(&finished.stdout) {
            Ok(CheckAnswer::Checked(report)) => Ok(*report),
            Ok(CheckAnswer::Error(error)) => Err(self.blame(error)),
            Err(_) => Err(match silent_end(CHECK_SUBCOMMAND, finished) {
                // There is no backend.
                Failure { class: FailureClass::BackendError, message, evidence, hint, .. } => {
                    Failure { evidence, hint, ..Failure::new(FailureClass::ExecutionFailed, message) }
                }
                other => other,
            }),
        }
    }

    /// How the action ended; an interruption is an error in any case.
    fn end_of(&self, job: &Job, stage: &str, task: &Task) -> Result<Result<Finished, ClientError>, Failure> {
        let mut lines = Lines::default();
        let cancelled = self.interrupt.cancellation();
        let ended =
            self.client()?.run(job, self.follow || task.keeps_log(), cancelled, |event| match event {
                JobEvent::Stderr(bytes) => lines.add(bytes, |line| task.output(line)),
                other => self.show(other, stage, task),
            });
        lines.finish(|line| task.output(line));
        self.interrupt.check()?;
        Ok(ended)
    }

    /// Where steps run.
    pub(crate) fn placement(&self) -> &Placement {
        &self.placement
    }

    /// The connection to the executor.
    pub(crate) fn client(&self) -> Result<&Client, Failure> {
        self.executor.client(self.target)
    }

    fn show(&self, event: JobEvent<'_>, stage: &str, task: &Task) {
        let remote = matches!(self.placement, Placement::Remote(_));
        match event {
            JobEvent::Executing => task.stage(stage),
            JobEvent::Uploaded(uploaded) if remote && uploaded.bytes > 1 << 20 => {
                task.stage(&format!("sent {:.1} MiB", uploaded.bytes as f64 / f64::from(1 << 20)));
            }
            JobEvent::StillQueued(waited) => {
                task.stage(&format!("{stage}: waiting for a worker since {} s", waited.as_secs()));
            }
            JobEvent::Queued if remote => task.stage(&format!("{stage}: queued")),
            JobEvent::Reconnecting(reason) => {
                task.stage(&format!("{stage}: the executor does not answer ({reason}); trying again"));
            }
            JobEvent::Restarted(reason) => task.stage(&format!("{stage}: starting again, as {reason}")),
            JobEvent::Queued | JobEvent::Uploaded(_) | JobEvent::Stderr(_) => {}
        }
    }

    fn interpret<R: StepReport>(&self, finished: Finished) -> Result<Ran<R>, Failure> {
        let Ok(answer) = serde_json::from_slice(&finished.stdout) else {
            return Ok(Ran::Failed(silent_end(R::SUBCOMMAND, &finished)));
        };
        match answer {
            Answer::Error(error) => Err(self.blame(error)),
            // A step has no other classes, whatever a worker that is not ours, or is newer, says.
            Answer::Failed(failure) if !failure.class.is_of_the_step() => {
                Ok(Ran::Failed(Failure { class: FailureClass::BackendError, ..failure }))
            }
            Answer::Failed(failure) => Ok(Ran::Failed(failure)),
            made => {
                let failed = |what: &str| Err(Failure::new(FailureClass::ExecutionFailed, what));
                let Some(report) = R::of(made) else { return failed("the executor ran another step") };
                let path = format!("{OUT}/{}", report.file_name());
                let is_file = |output: &Output| {
                    output.path == path && output.digest.hex() == report.sha256().to_string()
                };
                let cached = finished.cached;
                let worker = finished.result.execution_metadata.map(|metadata| metadata.worker);
                match finished.outputs.into_iter().find(is_file) {
                    Some(file) => Ok(Ran::Built { report, file, cached, worker: worker.unwrap_or_default() }),
                    None => failed(&format!(
                        "the executor did not return {}, which was built",
                        report.file_name()
                    )),
                }
            }
        }
    }

    /// The failure of a step that could not work where it was.
    fn blame(&self, error: AnswerError) -> Failure {
        let class = match error.kind {
            ErrorKind::Usage => FailureClass::InvalidSource,
            ErrorKind::Host if matches!(self.placement, Placement::Remote(_)) => {
                FailureClass::ExecutionFailed
            }
            ErrorKind::Host => FailureClass::LocalIo,
        };
        let failure = Failure::new(class, error.message);
        match self.placement.whereabouts(self.target) {
            Some(whereabouts) => failure.within(whereabouts),
            None => failure,
        }
    }
}

fn timed_out(message: &str, timeout: Option<u64>) -> Failure {
    let failure = Failure::new(FailureClass::Timeout, format!("the executor ended the build: {message}"));
    match timeout {
        Some(_) => failure.with_hint("allow more time with --timeout SECONDS"),
        None => {
            failure.with_hint("ask for more time than the executor gives by itself with --timeout SECONDS")
        }
    }
}

/// The failure of a step that did not print its outcome.
fn silent_end(subcommand: &str, finished: &Finished) -> Failure {
    let (class, how) = match finished.exit_code {
        // As shells, and workers, have it.
        code @ 129..=165 => (FailureClass::Killed, format!("was killed by signal {}", code - 128)),
        127 => (FailureClass::MissingTool, "was not found on the worker".to_owned()),
        code => (FailureClass::BackendError, format!("ended with exit code {code}")),
    };
    let mut message = format!("`crosswheel {subcommand}` {how} and did not say why");
    if !finished.message.is_empty() {
        message = format!("`crosswheel {subcommand}` {how}: {}", finished.message);
    }
    let evidence = last_lines(&finished.stderr_tail, TAIL);
    let failure = Failure { evidence, ..Failure::new(class, message) };
    match finished.exit_code {
        127 => failure.with_hint("install crosswheel on the workers, in a directory such as /usr/local/bin"),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::steps::executor::ExecutorSurroundings;
    use crate::build::targets::placement::RemotePlacement;
    use crate::contract::Report;

    fn finished(exit_code: i32, stdout: &str) -> Finished {
        Finished {
            exit_code,
            stdout: stdout.to_owned().into(),
            stderr_tail: "last words\n".into(),
            outputs: Vec::new(),
            cached: false,
            message: String::new(),
            result: Default::default(),
        }
    }

    fn interpret(placement: Placement, finished: Finished) -> Result<Ran<Report>, Failure> {
        let never = || Err(Failure::new(FailureClass::ExecutionFailed, "not reached"));
        let executor = Arc::new(Executor::new(Box::new(move |_| never()), ExecutorSurroundings::default()));
        let target = "linux_arm64".parse().unwrap();
        Runner::new(executor, target, placement, Interrupt::never(), false).interpret(finished)
    }

    fn failure(exit_code: i32, stdout: &str) -> Failure {
        match interpret(Placement::Here, finished(exit_code, stdout)) {
            Ok(Ran::Failed(failure)) => failure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_check_is_a_report_whatever_is_wrong_with_the_wheels_and_its_own_troubles_are_failures() {
        let never = || Err(Failure::new(FailureClass::ExecutionFailed, "not reached"));
        let executor = Arc::new(Executor::new(Box::new(move |_| never()), ExecutorSurroundings::default()));
        let target = "linux_arm64".parse().unwrap();
        let runner = Runner::new(executor, target, Placement::Here, Interrupt::never(), false);
        let read = |code, text: &str| runner.interpret_check(&finished(code, text));
        let report = r#"{"checked": {"installed": 2, "problems": [{"package": "a", "version": "1", "kind": "import",
            "message": "no"}], "imported": [], "checked_by": "crosswheel", "target": "linux_arm64", "seconds": {},
            "python_version": "3.11.7", "emulated": true, "isolation": {"sandbox": "none", "network": "none"}}}"#;
        assert_eq!(read(26, report).unwrap().failure().unwrap().class, FailureClass::CheckFailed);
        let error = r#"{"error": {"kind": "usage", "message": "no such wheel"}}"#;
        assert_eq!(read(2, error).unwrap_err().class, FailureClass::InvalidSource);
        let silent = read(1, "").unwrap_err();
        assert_eq!(silent.class, FailureClass::ExecutionFailed);
        assert!(silent.message.contains("`crosswheel check` ended with exit code 1"), "{silent}");
        assert_eq!(read(137, "").unwrap_err().class, FailureClass::Killed);
    }

    #[test]
    fn the_steps_own_failure_is_handed_on() {
        let text = r#"{"failed": {"class": "timeout", "message": "too slow"}}"#;
        assert_eq!(failure(17, text).class, FailureClass::Timeout);
    }

    #[test]
    fn classes_that_no_step_has_are_not_believed() {
        for class in ["interrupted", "local-io", "lock-drift", "execution-failed", "to-come"] {
            let text = format!(r#"{{"failed": {{"class": "{class}", "message": "no"}}}}"#);
            assert_eq!(failure(1, &text).class, FailureClass::BackendError, "{class}");
        }
    }

    #[test]
    fn a_step_that_dies_silently_is_a_failure_with_its_last_words() {
        let killed = failure(137, "");
        assert_eq!(killed.class, FailureClass::Killed);
        assert!(killed.message.contains("signal 9"), "{killed}");
        assert_eq!(killed.evidence, ["last words"]);
        assert_eq!(failure(1, "not json").class, FailureClass::BackendError);
        assert!(failure(127, "").hint.unwrap().contains("install crosswheel"));
    }

    #[test]
    fn a_step_that_cannot_work_there_says_whose_fault_that_is() {
        let complain = |placement, kind: &str| {
            let text = format!(r#"{{"error": {{"kind": "{kind}", "message": "no"}}}}"#);
            interpret(placement, finished(1, &text)).unwrap_err()
        };
        let remote = || Placement::Remote(RemotePlacement::default());
        assert_eq!(complain(Placement::Here, "host").class, FailureClass::LocalIo);
        assert_eq!(complain(Placement::Here, "usage").class, FailureClass::InvalidSource);
        let there = complain(remote(), "host");
        assert_eq!(there.class, FailureClass::ExecutionFailed);
        assert_eq!(there.message, "on the worker (linux_arm64): no");
    }
}
