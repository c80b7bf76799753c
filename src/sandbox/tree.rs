//! A running command, from our side: waiting, killing, and what became of it. Knows nothing of namespaces.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::error::SandboxError;
use super::message::{self, Report};

/// How long a killed tree may take to die. The kernel kills at once; what takes long is a process stuck in a
/// system call.
const KILL_GRACE: Duration = Duration::from_secs(30);

/// How often [`ProcessTree::wait`] looks whether somebody has asked for a kill that takes too long.
const TICK: Duration = Duration::from_millis(500);

/// A running command and all its descendants. Dropping it kills them and waits until they are dead.
#[derive(Debug)]
pub struct ProcessTree {
    init: Child,
    control: Arc<Control>,
    received: Vec<u8>,
    /// The merged trees of the command's overlays.
    overlays: Vec<OwnedFd>,
    /// Lines from the init that are no reports.
    said: String,
    /// Everything but the init is dead.
    finished: bool,
    reaped: bool,
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

/// What came from the init.
pub(super) enum Heard {
    Report(Report),
    /// Nothing within the time given.
    Nothing,
    /// Nothing will come any more.
    Closed,
}

impl ProcessTree {
    pub(super) fn new(init: Child, socket: UnixStream) -> Self {
        let control = Arc::new(Control { socket, kill: OnceLock::new() });
        Self {
            init,
            control,
            received: Vec::new(),
            overlays: Vec::new(),
            said: String::new(),
            finished: false,
            reaped: false,
        }
    }

    /// A directory descriptor per overlay of the [`Spec`](super::Spec), in its order: the merged tree as the
    /// command leaves it. It stays readable after the command has ended and its mounts are gone, until it
    /// is closed; what was mounted inside the overlay is not seen through it.
    pub fn overlay_directories(&self) -> &[OwnedFd] {
        &self.overlays
    }

    /// As [`ProcessTree::overlay_directories`], for who outlives this handle.
    pub fn take_overlay_directories(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.overlays)
    }

    /// A handle that kills this tree from another thread.
    pub fn killer(&self) -> Killer {
        Killer { control: Arc::clone(&self.control) }
    }

    /// Waits until the command has ended and nothing of its tree is left. At `deadline` the tree is killed.
    ///
    /// # Errors
    /// [`SandboxError::InitDied`] if the init was killed by somebody else: with namespaces the kernel is then
    /// about to kill the rest, without there may be survivors. [`SandboxError::Unkillable`] if the tree does
    /// not die.
    pub fn wait(mut self, deadline: Option<Instant>) -> Result<Exit, SandboxError> {
        let exit = self.wait_for_end(deadline)?;
        self.reap()?;
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
            match self.hear(Some(until_deadline.min(TICK))) {
                Ok(Heard::Report(Report::Finished {
                    outcome,
                    killed,
                    peak_memory_bytes,
                    user_microseconds,
                    system_microseconds,
                })) => {
                    self.finished = true;
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
                Ok(Heard::Report(_) | Heard::Closed) => return Err(self.death()),
                Err(source) => return Err(SandboxError::Control { doing: "hear from", source }),
            }
        }
    }

    pub(super) fn send(&self, send: impl FnOnce(&UnixStream) -> io::Result<()>) -> io::Result<()> {
        send(&self.control.socket)
    }

    /// The next report, waiting for it no longer than `patience`.
    pub(super) fn hear(&mut self, patience: Option<Duration>) -> io::Result<Heard> {
        // The kernel takes zero for "for ever".
        let timeout = patience.map(|patience| patience.max(Duration::from_millis(1)));
        self.control.socket.set_read_timeout(timeout)?;
        loop {
            while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                match serde_json::from_slice(&line) {
                    Ok(report) => return Ok(Heard::Report(report)),
                    Err(_) => self.said.push_str(&String::from_utf8_lossy(&line)),
                }
            }
            let mut buffer = [0; 4096];
            match message::read_with_descriptors(&self.control.socket, &mut buffer, &mut self.overlays) {
                Ok(0) => return Ok(Heard::Closed),
                Ok(read) => self.received.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Heard::Nothing),
                // We died to the init with something unread; it is gone all the same.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Heard::Closed),
                Err(error) => return Err(error),
            }
        }
    }

    /// Ends an init that was given no command.
    pub(super) fn dismiss(mut self) -> Result<(), SandboxError> {
        self.control
            .socket
            .shutdown(std::net::Shutdown::Write)
            .map_err(|source| SandboxError::Control { doing: "dismiss", source })?;
        self.reap().map(drop)
    }

    /// The error for an init that ended before it should have.
    pub(super) fn death(&mut self) -> SandboxError {
        match self.reap() {
            Ok(status) => {
                self.said.push_str(&String::from_utf8_lossy(&self.received));
                SandboxError::InitDied { status, said: self.said.trim().to_owned() }
            }
            Err(error) => error,
        }
    }

    /// Waits for the end of the init, and so of everything: every process that holds the other end of the
    /// control socket is one that still has killing to do.
    fn reap(&mut self) -> Result<std::process::ExitStatus, SandboxError> {
        loop {
            match self.hear(Some(KILL_GRACE)) {
                Ok(Heard::Report(_)) => {}
                Ok(Heard::Closed) => break,
                Ok(Heard::Nothing) => return Err(SandboxError::Unkillable { seconds: KILL_GRACE.as_secs() }),
                Err(source) => return Err(SandboxError::Control { doing: "hear from", source }),
            }
        }
        let status =
            self.init.wait().map_err(|source| SandboxError::Control { doing: "wait for", source })?;
        self.reaped = true;
        Ok(status)
    }
}

impl Drop for ProcessTree {
    /// Kills what still runs. A tree that does not die of it loses its init, which takes a pid namespace with
    /// it.
    fn drop(&mut self) {
        if self.reaped || self.finished && self.reap().is_ok() {
            return;
        }
        self.control.kill(false);
        // Killers may outlive us and keep the socket open; the init must see its end all the same.
        let _ = self.control.socket.shutdown(std::net::Shutdown::Write);
        let killed_at = self.control.kill.get().map_or_else(Instant::now, |kill| kill.at);
        let given_up = killed_at + KILL_GRACE;
        while let Ok(None) = self.init.try_wait() {
            if Instant::now() >= given_up {
                let _ = self.init.kill();
                let _ = self.init.wait();
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}
