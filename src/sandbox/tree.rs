//! A running command, from our side: waiting, killing, and what became of it. Knows nothing of namespaces.

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::error::SandboxError;
use super::exit::{Exit, Outcome};
use super::limits::{MetLimit, ResourceLimits};
use super::message::{Command, Report};
use super::report_reader::{Received, ReportReader};
use super::zygote::{KILL_GRACE, Zygote};
use super::zygote_pool::PoolSlot;
use crate::cancellation::Kill;

/// How often [`ProcessTree::wait`] looks whether somebody has asked for a kill that takes too long.
const TICK: Duration = Duration::from_millis(500);

/// How long a supervisor may take to kill its tree before it is killed itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running command and all its descendants. Dropping it kills them and waits until they are dead.
#[derive(Debug)]
pub struct ProcessTree {
    control: Arc<Control>,
    reports: ReportReader,
    state: State,
    /// Where the command was started; none once it is of no more use here.
    zygote: Option<Zygote>,
    /// Where it goes back to.
    pool: Option<PoolSlot>,
    limits: ResourceLimits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    /// The supervisor has said that everything else is dead.
    Finished,
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

impl Kill for Killer {
    fn kill(&self) {
        Self::kill(self);
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
    /// Has `zygote` start `command`, and waits until it runs.
    pub(super) fn start(
        mut zygote: Zygote,
        pool: Option<PoolSlot>,
        command: &Command,
        streams: [BorrowedFd<'_>; 3],
    ) -> Result<Self, SandboxError> {
        let (socket, theirs) = UnixStream::pair()
            .map_err(|source| SandboxError::Control { doing: "make a control socket for", source })?;
        // One that has ended closes the socket; why it did is a better error than "broken pipe".
        let sent = zygote.give(command, theirs, streams);
        let control = Arc::new(Control { socket, kill: OnceLock::new() });
        let (reports, limits) = (ReportReader::default(), command.limits);
        let mut tree = Self { control, reports, state: State::Running, zygote: Some(zygote), pool, limits };
        match tree.reports.next(&tree.control.socket, None) {
            Ok(Received::Report(Report::Running)) => Ok(tree),
            Ok(Received::Report(Report::SetUpFailed(failure))) => Err(tree.refused(failure.into())),
            Ok(Received::Report(Report::ProgramRefused { program, fault })) => {
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
        &self.reports.descriptors
    }

    /// As [`ProcessTree::overlay_directories`], for who outlives this handle.
    pub fn take_overlay_directories(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.reports.descriptors)
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
        self.wait_for_end_watched(deadline, &mut || TICK)
    }

    /// As [`ProcessTree::wait_for_end`], and looks at what the tree does meanwhile: `look` is called before each wait, and
    /// says how long that may be. It must not take long, and may kill the tree with a [`Killer`].
    ///
    /// # Errors
    /// Those of [`ProcessTree::wait`].
    pub fn wait_for_end_watched(
        &mut self,
        deadline: Option<Instant>,
        look: &mut dyn FnMut() -> Duration,
    ) -> Result<Exit, SandboxError> {
        loop {
            let pause = look().min(TICK);
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
            match self.reports.next(&self.control.socket, Some(until_deadline.min(pause))) {
                Ok(Received::Report(Report::Finished {
                    outcome,
                    killed,
                    met,
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
                        met: met.or_else(|| self.killed_for_memory(outcome, peak_memory_bytes)),
                        peak_memory_bytes,
                        user_time: Duration::from_micros(user_microseconds),
                        system_time: Duration::from_micros(system_microseconds),
                    });
                }
                Ok(Received::Nothing) => self.rouse(),
                Ok(Received::Report(_) | Received::Closed) => return self.end_without_report(),
                Err(source) => return Err(SandboxError::Control { doing: "hear from", source }),
            }
        }
    }

    /// Without namespaces a command may stop its supervisor, so that this is deaf to a kill.
    fn rouse(&self) {
        let waited = self.control.kill.get().map(|kill| kill.at.elapsed()).unwrap_or_default();
        if let Some(zygote) = self.zygote.as_ref().filter(|_| waited > TICK) {
            zygote.rouse(waited > PATIENCE);
        }
    }

    /// A supervisor has ended that has said nothing of its command: the kernel may have killed both for want of memory.
    fn end_without_report(&mut self) -> Result<Exit, SandboxError> {
        let outcome = Outcome::Signal(libc::SIGKILL);
        let met = self.killed_for_memory(outcome, 0);
        let error = self.death(Ok(()));
        if met.is_none() {
            return Err(error);
        }
        Ok(Exit {
            outcome,
            timed_out: false,
            killed: true,
            met,
            peak_memory_bytes: self.limits.memory.unwrap_or(0),
            user_time: Duration::ZERO,
            system_time: Duration::ZERO,
        })
    }

    /// The limit of memory, if it was the kernel that held it, and the command did not succeed all the same.
    ///
    /// Asking takes a moment, so it is not asked of one that succeeded with a fraction of what it may have: then nothing
    /// of it can have been killed, and what is asked next is about the next one.
    fn killed_for_memory(&mut self, outcome: Outcome, peak_bytes: u64) -> Option<MetLimit> {
        let limit = self.limits.memory?;
        let succeeded = outcome == Outcome::Code(0);
        if succeeded && peak_bytes < limit / 8 {
            return None;
        }
        let killed = self.zygote.as_mut().is_some_and(Zygote::was_killed_for_memory);
        (killed && !succeeded).then_some(MetLimit::Memory(limit))
    }

    /// Nothing runs, and the supervisor has said why.
    fn refused(&mut self, error: SandboxError) -> SandboxError {
        self.state = State::Finished;
        error
    }

    /// The error for a supervisor that ended before it should have. `sent` is what came of telling it the command.
    fn death(&mut self, sent: io::Result<()>) -> SandboxError {
        let Some(zygote) = self.zygote.take() else {
            return SandboxError::Control { doing: "hear from", source: io::ErrorKind::UnexpectedEof.into() };
        };
        match zygote.death(sent) {
            SandboxError::InitDied { status, said } => {
                let said = format!("{}{said}", self.reports.said());
                SandboxError::InitDied { status, said }
            }
            other => other,
        }
    }

    /// Waits for the end of the supervisor, and so of everything: every process that holds the other end of the
    /// control socket is one that still has killing to do. Then the zygote goes back to its pool.
    fn see_off(&mut self) -> Result<(), SandboxError> {
        loop {
            match self.reports.next(&self.control.socket, Some(KILL_GRACE)) {
                Ok(Received::Report(Report::Finished { .. })) => self.state = State::Finished,
                Ok(Received::Report(_)) => {}
                Ok(Received::Closed) => break,
                Ok(Received::Nothing) => {
                    return Err(SandboxError::Unkillable { seconds: KILL_GRACE.as_secs() });
                }
                Err(source) => return Err(SandboxError::Control { doing: "hear from", source }),
            }
        }
        let Some(zygote) = self.zygote.take() else { return Ok(()) };
        match &self.pool {
            // A supervisor that was killed says nothing, and its zygote has ended too.
            Some(pool) if self.state == State::Finished => pool.put_back(zygote),
            _ => drop(zygote.dismiss()?),
        }
        Ok(())
    }
}

impl Drop for ProcessTree {
    /// Kills what still runs. A tree that does not die of it loses its zygote, which takes a pid namespace with
    /// it.
    fn drop(&mut self) {
        if self.zygote.is_none() {
            return;
        }
        if self.state == State::Running {
            self.control.kill(false);
            // Killers may outlive us and keep the socket open; the supervisor must see its end all the same.
            let _ = self.control.socket.shutdown(Shutdown::Write);
        }
        if self.see_off().is_err()
            && let Some(zygote) = self.zygote.take()
        {
            zygote.kill();
        }
    }
}
