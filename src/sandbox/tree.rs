//! A running command, from our side: waiting, killing, and what became of it. Knows nothing of namespaces.

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::error::SandboxError;
use super::listener::{Heard, Listener};
use super::message::{Command, Report};
use super::nursery::Nursery;
use super::spawner::Home;

/// How long a killed tree may take to die. The kernel kills at once; what takes long is a process stuck in a
/// system call.
pub(super) const KILL_GRACE: Duration = Duration::from_secs(30);

/// How often [`ProcessTree::wait`] looks whether somebody has asked for a kill that takes too long.
const TICK: Duration = Duration::from_millis(500);

/// A running command and all its descendants. Dropping it kills them and waits until they are dead.
#[derive(Debug)]
pub struct ProcessTree {
    control: Arc<Control>,
    listener: Listener,
    state: State,
    /// Where the command was started; none once it is of no more use here.
    nursery: Option<Nursery>,
    /// Who wants it back.
    home: Option<Home>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    /// The supervisor has said that everything else is dead.
    Finished,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    pub outcome: Outcome,
    /// The deadline passed while the command was still running, and it was killed.
    pub timed_out: bool,
    /// The command was killed by us, because of the deadline or by a [`Killer`].
    pub killed: bool,
    /// Peak of the memory of the whole tree: the sum of its resident sets, sampled about every 20 ms, and
    /// never less than the largest process had. Shared pages count once per process, `tmpfs` files not at
    /// all.
    pub peak_memory_bytes: u64,
    /// Processor time in user mode of all processes whose end somebody waited for.
    pub user_time: Duration,
    /// Processor time in the kernel, likewise.
    pub system_time: Duration,
}

/// The end of the command itself, whatever its descendants did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// Kills a process tree from anywhere. Does nothing once the tree is dead.
#[derive(Debug, Clone)]
pub struct Killer {
    control: Arc<Control>,
}

#[derive(Debug)]
struct Control {
    socket: UnixStream,
    kill: OnceLock<KillRequest>,
}

#[derive(Debug)]
struct KillRequest {
    at: Instant,
    because_of_deadline: bool,
}

impl Killer {
    /// Asks for the death of the whole tree and returns at once; [`ProcessTree::wait`] then returns when it
    /// is dead.
    pub fn kill(&self) {
        self.control.kill(false);
    }
}

impl Control {
    fn kill(&self, because_of_deadline: bool) {
        let request = KillRequest { at: Instant::now(), because_of_deadline };
        if self.kill.set(request).is_ok() {
            // An init that no longer listens has nothing left to kill.
            let _ = (&self.socket).write_all(b"k");
        }
    }
}

impl ProcessTree {
    /// Has `nursery` start `command`, and waits until it runs.
    pub(super) fn start(
        nursery: Nursery,
        home: Option<Home>,
        command: &Command,
        streams: [BorrowedFd<'_>; 3],
    ) -> Result<Self, SandboxError> {
        let (socket, theirs) = UnixStream::pair()
            .map_err(|source| SandboxError::Control { doing: "make a control socket for", source })?;
        // One that has ended closes the socket; why it did is a better error than "broken pipe".
        let sent = nursery.give(command, theirs, streams);
        let control = Arc::new(Control { socket, kill: OnceLock::new() });
        let (listener, nursery) = (Listener::default(), Some(nursery));
        let mut tree = Self { control, listener, state: State::Running, nursery, home };
        match tree.listener.hear(&tree.control.socket, None) {
            Ok(Heard::Report(Report::Running)) => Ok(tree),
            Ok(Heard::Report(Report::SetUpFailed { step, error, fault })) => {
                Err(tree.refused(SandboxError::SetUp { step, error, fault }))
            }
            Ok(Heard::Report(Report::ProgramRefused { program, fault })) => {
                Err(tree.refused(SandboxError::Program { program: program.0, fault }))
            }
            Ok(_) => Err(tree.death(sent)),
            Err(source) => Err(SandboxError::Control { doing: "hear from", source }),
        }
    }

    /// A handle that kills this tree from another thread.
    pub fn killer(&self) -> Killer {
        Killer { control: Arc::clone(&self.control) }
    }

    /// A directory descriptor per overlay of the [`Spec`](super::spec::Spec), in its order: the merged tree as the
    /// command leaves it. It stays readable after the command has ended and its mounts are gone, until it
    /// is closed; what was mounted inside the overlay is not seen through it.
    pub fn overlay_directories(&self) -> &[OwnedFd] {
        &self.listener.descriptors
    }

    /// As [`ProcessTree::overlay_directories`], for who outlives this handle.
    pub fn take_overlay_directories(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.listener.descriptors)
    }

    /// Waits until the command has ended and nothing of its tree is left. At `deadline` the tree is killed.
    ///
    /// # Errors
    /// [`SandboxError::InitDied`] if the init was killed by somebody else: with namespaces the kernel is then
    /// about to kill the rest, without there may be survivors. [`SandboxError::Unkillable`] if the tree does
    /// not die.
    pub fn wait(mut self, deadline: Option<Instant>) -> Result<Exit, SandboxError> {
        let exit = self.wait_for_end(deadline)?;
        self.see_off()?;
        Ok(exit)
    }

    /// As [`ProcessTree::wait`], but does not wait for the init, which takes a moment more to tear down what it
    /// built. It is waited for when the tree is dropped.
    ///
    /// # Errors
    /// Those of [`ProcessTree::wait`].
    pub fn wait_for_end(&mut self, deadline: Option<Instant>) -> Result<Exit, SandboxError> {
        loop {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.control.kill(true);
            }
            if self.control.kill.get().is_some_and(|kill| kill.at.elapsed() > KILL_GRACE) {
                return Err(SandboxError::Unkillable { seconds: KILL_GRACE.as_secs() });
            }
            let until_deadline = match deadline {
                Some(deadline) if self.control.kill.get().is_none() => {
                    deadline.saturating_duration_since(Instant::now())
                }
                _ => TICK,
            };
            match self.listener.hear(&self.control.socket, Some(until_deadline.min(TICK))) {
                Ok(Heard::Report(Report::Finished {
                    outcome,
                    killed,
                    peak_memory_bytes,
                    user_microseconds,
                    system_microseconds,
                })) => {
                    self.state = State::Finished;
                    let because_of_deadline =
                        self.control.kill.get().is_some_and(|kill| kill.because_of_deadline);
                    return Ok(Exit {
                        outcome,
                        timed_out: killed && because_of_deadline,
                        killed,
                        peak_memory_bytes,
                        user_time: Duration::from_micros(user_microseconds),
                        system_time: Duration::from_micros(system_microseconds),
                    });
                }
                Ok(Heard::Nothing) => {}
                Ok(Heard::Report(_) | Heard::Closed) => return Err(self.death(Ok(()))),
                Err(source) => return Err(SandboxError::Control { doing: "hear from", source }),
            }
        }
    }

    /// Nothing runs, and the supervisor has said why.
    fn refused(&mut self, error: SandboxError) -> SandboxError {
        self.state = State::Finished;
        error
    }

    /// The error for a supervisor that ended before it should have. `sent` is what came of telling it the command.
    fn death(&mut self, sent: io::Result<()>) -> SandboxError {
        let Some(nursery) = self.nursery.take() else {
            return SandboxError::Control { doing: "hear from", source: io::ErrorKind::UnexpectedEof.into() };
        };
        match nursery.death(sent) {
            SandboxError::InitDied { status, said } => {
                let said = format!("{}{said}", self.listener.said());
                SandboxError::InitDied { status, said }
            }
            other => other,
        }
    }

    /// Waits for the end of the supervisor, and so of everything: every process that holds the other end of the
    /// control socket is one that still has killing to do. Then the nursery goes where it is wanted.
    fn see_off(&mut self) -> Result<(), SandboxError> {
        loop {
            match self.listener.hear(&self.control.socket, Some(KILL_GRACE)) {
                Ok(Heard::Report(Report::Finished { .. })) => self.state = State::Finished,
                Ok(Heard::Report(_)) => {}
                Ok(Heard::Closed) => break,
                Ok(Heard::Nothing) => return Err(SandboxError::Unkillable { seconds: KILL_GRACE.as_secs() }),
                Err(source) => return Err(SandboxError::Control { doing: "hear from", source }),
            }
        }
        let Some(nursery) = self.nursery.take() else { return Ok(()) };
        match &self.home {
            // A supervisor that was killed says nothing, and its nursery has ended too.
            Some(home) if self.state == State::Finished => home.take_back(nursery),
            _ => drop(nursery.dismiss()?),
        }
        Ok(())
    }
}

impl Drop for ProcessTree {
    /// Kills what still runs. A tree that does not die of it loses its nursery, which takes a pid namespace with
    /// it.
    fn drop(&mut self) {
        if self.nursery.is_none() {
            return;
        }
        if self.state == State::Running {
            self.control.kill(false);
            // Killers may outlive us and keep the socket open; the supervisor must see its end all the same.
            let _ = self.control.socket.shutdown(Shutdown::Write);
        }
        if self.see_off().is_err()
            && let Some(nursery) = self.nursery.take()
        {
            nursery.kill();
        }
    }
}
