//! An executor that does what the action's arguments say, so that tests decide what happens when.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crosswheel::cancellation::Cancellation;
use crosswheel::digest::DigestFunction;
use crosswheel::execute::{
    Execute, ExecuteError, Executed, MissingInput, Moment, Observer, OutputStream, Place, Stage, Work,
};
use crosswheel::reapi::ActionResult;
use tokio::sync::mpsc::UnboundedSender;

/// Commands: `exit CODE`, `wait` (for what the test says), `panic`, `missing`, `invalid`, `broken`, `time-out`.
pub struct Scripted {
    /// Is told of every action that waits.
    pub runs: UnboundedSender<Run>,
}

/// An action that waits for the test.
pub struct Run {
    pub work: Work,
    orders: Sender<Order>,
}

enum Order {
    Write(OutputStream, &'static str),
    Exit(i32),
}

impl Run {
    /// The second argument, which is there to tell actions apart.
    pub fn label(&self) -> &str {
        &self.work.command.arguments[1]
    }

    /// Has the action write something.
    pub fn write(&self, stream: OutputStream, text: &'static str) {
        self.orders.send(Order::Write(stream, text)).unwrap();
    }

    /// Has the action end.
    pub fn exit(self, code: i32) {
        self.orders.send(Order::Exit(code)).unwrap();
    }

    /// Whether somebody still runs it: not after it was killed.
    pub fn is_alive(&self) -> bool {
        self.orders.send(Order::Write(OutputStream::Stdout, "")).is_ok()
    }
}

impl Execute for Scripted {
    fn execute(
        &self,
        work: &Work,
        observer: &dyn Observer,
        cancellation: &Cancellation,
    ) -> Result<Executed, ExecuteError> {
        observer.stage(Stage::FetchingInputs, Moment::now());
        observer.stage(Stage::Running, Moment::now());
        let digest = DigestFunction::Sha256.digest(b"gone");
        match work.command.arguments[0].as_str() {
            "exit" => Ok(exited(work.command.arguments[1].parse().unwrap())),
            "wait" => self.wait(work, observer, cancellation),
            "panic" => panic!("as the script says"),
            "missing" => {
                Err(ExecuteError::MissingInputs(vec![MissingInput { digest, role: "the input `a`".into() }]))
            }
            "invalid" => Err(ExecuteError::Invalid {
                field: "command.output_paths[0]".into(),
                problem: "is absolute".into(),
            }),
            "broken" => Err(ExecuteError::Io {
                doing: "make a directory",
                place: Place::Ours("/where/the/disk/is/on/fire".into()),
                source: rustix::io::Errno::IO.into(),
            }),
            "time-out" => {
                let message = "killed after 1 s: the limit\nand a note".into();
                Ok(Executed { timed_out: true, message, ..exited(137) })
            }
            other => unreachable!("no script for `{other}`"),
        }
    }
}

impl Scripted {
    fn wait(
        &self,
        work: &Work,
        observer: &dyn Observer,
        cancellation: &Cancellation,
    ) -> Result<Executed, ExecuteError> {
        let (orders, received): (_, Receiver<Order>) = channel();
        // A test that has seen enough no longer listens; then only cancellation ends the action.
        let _ = self.runs.send(Run { work: work.clone(), orders: orders.clone() });
        loop {
            match received.recv_timeout(Duration::from_millis(1)) {
                Ok(Order::Write(stream, text)) => observer.output(stream, text.as_bytes()),
                Ok(Order::Exit(code)) => return Ok(exited(code)),
                Err(RecvTimeoutError::Timeout) => {
                    cancellation.check().map_err(|_| ExecuteError::Cancelled)?
                }
                Err(RecvTimeoutError::Disconnected) => unreachable!("we hold a sender"),
            }
        }
    }
}

fn exited(exit_code: i32) -> Executed {
    let result = ActionResult { exit_code, stdout_raw: b"said".to_vec(), ..Default::default() };
    Executed { result, timed_out: false, exceeded: None, message: String::new() }
}
