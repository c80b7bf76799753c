//! Ctrl-C, SIGTERM and SIGHUP: whatever was started is ended, nothing half-written stays behind.
//!
//! The thread that waits for signals owns the ending; everybody else asks [`Interrupt::check`]
//! between steps and starts processes through [`Interrupt::run`] only, so that there is never a
//! child this thread does not know of. What runs elsewhere is cancelled by [`Interrupt::cancellation`].
//! Knows nothing of what the children do.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio_util::sync::CancellationToken;

use super::resolve::lines::Lines;
use crate::contract::{Failure, FailureClass};
use crate::scratch::removal::remove;
use crate::signals::{FirstSignal, MoreSignals, on_first_signal};

/// How long children may take to end after SIGTERM, before SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// How long our own threads may take to notice once no child is left, and executors to end what they run.
const OWN_GRACE: Duration = Duration::from_secs(4);

/// The state shared by the thread that waits for signals and those that build.
#[derive(Debug, Default)]
pub struct Interrupt {
    signal: FirstSignal,
    /// Cancelled with it.
    cancellation: CancellationToken,
    children: Mutex<HashSet<Pid>>,
    /// Held while a file outside the run's temporary directory is written.
    publishing: Mutex<()>,
}

/// What a child process left behind.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: Vec<u8>,
}

impl Interrupt {
    /// An interrupt no signal triggers.
    #[cfg(test)]
    pub fn never() -> Arc<Self> {
        Arc::default()
    }

    /// Takes over SIGHUP, SIGINT and SIGTERM for the rest of the process. If the run does not end by itself
    /// after a signal, `run_directory` is removed and the process exits.
    pub fn install(run_directory: PathBuf) -> std::io::Result<Arc<Self>> {
        let interrupt = Arc::new(Self::default());
        let shared = Arc::clone(&interrupt);
        on_first_signal(&interrupt.signal, move |more| {
            shared.cancellation.cancel();
            shared.end_children(more);
            std::thread::sleep(OWN_GRACE);
            // Still here: some thread waits for a peer that does not answer.
            let _publishing = shared.publishing.lock();
            let _ = remove(&run_directory);
            more.exit();
        })?;
        Ok(interrupt)
    }

    /// The exit code the process owes a signal: 128 + its number, 130 for SIGINT.
    pub fn exit_code(&self) -> Option<u8> {
        self.signal.exit_code()
    }

    /// Fails once a signal has arrived.
    pub fn check(&self) -> Result<(), Failure> {
        match self.exit_code() {
            None => Ok(()),
            Some(_) => Err(Failure::new(FailureClass::Interrupted, "the run was interrupted")),
        }
    }

    /// Is cancelled when a signal arrives.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.cancellation
    }

    /// Keeps the process from being ended half-way through `write`.
    pub fn publishing<T>(&self, write: impl FnOnce() -> T) -> T {
        let _guard = self.publishing.lock();
        write()
    }

    /// Runs `command` to its end with its standard output captured and each line of its standard
    /// error handed to `on_line`. Bytes that are not UTF-8 are replaced.
    pub fn run(&self, command: &mut Command, on_line: impl FnMut(&str) + Send) -> Result<Finished, Failure> {
        let mut captured = Vec::new();
        let status = self.run_to(command, &mut captured, on_line)?;
        Ok(Finished { status, stdout: captured })
    }

    /// Runs `command` as [`Interrupt::run`], and writes its standard output to `out` as it comes. If `out` takes no more,
    /// that is an error, and the command is left to find out by itself that nobody listens.
    pub fn run_to(
        &self,
        command: &mut Command,
        out: &mut impl Write,
        on_line: impl FnMut(&str) + Send,
    ) -> Result<ExitStatus, Failure> {
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |what: &str, error: std::io::Error| {
            Failure::new(FailureClass::LocalIo, format!("cannot {what} `{program}`: {error}"))
        };
        let mut child = self.spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()), failed)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let copied = std::thread::scope(|scope| {
            scope.spawn(move || {
                if let Some(stderr) = stderr {
                    each_line(stderr, on_line);
                }
            });
            // Closed at once, so that a command that still writes ends.
            stdout.map_or(Ok(0), |mut stdout| std::io::copy(&mut stdout, out))
        });
        let status = self.reap(&mut child).map_err(|error| failed("wait for", error))?;
        self.check()?;
        copied.map_err(|error| failed("read from", error))?;
        Ok(status)
    }

    /// Starts a child, unless a signal has already ended the run.
    fn spawn(
        &self,
        command: &mut Command,
        failed: impl Fn(&str, std::io::Error) -> Failure,
    ) -> Result<Child, Failure> {
        // A group of its own: Ctrl-C in a terminal reaches it through us, once, and in order.
        command.process_group(0);
        let mut children = self.children.lock();
        self.check()?;
        let mut attempts = 0;
        let child = loop {
            match command.spawn() {
                // Just written, and another thread's child has not yet closed what it inherited.
                Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && attempts < 20 => attempts += 1,
                started => break started.map_err(|error| failed("start", error))?,
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        children.insert(Pid::from_child(&child));
        Ok(child)
    }

    /// Waits for the end of `child` without freeing its process id while others may signal it.
    fn reap(&self, child: &mut Child) -> std::io::Result<ExitStatus> {
        let pid = Pid::from_child(child);
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while let Err(Errno::INTR) = waitid(WaitId::Pid(pid), ended) {}
        self.children.lock().remove(&pid);
        child.wait()
    }

    /// SIGTERM to every child and what is in its group; SIGKILL after the grace period or a second signal.
    fn end_children(&self, more: &mut MoreSignals) {
        self.signal_children(Signal::TERM);
        if !more.wait(GRACE, || self.children.lock().is_empty()) {
            self.signal_children(Signal::KILL);
        }
    }

    fn signal_children(&self, signal: Signal) {
        for &pid in self.children.lock().iter() {
            let _ = kill_process_group(pid, signal);
        }
    }
}

/// Hands each line to `on_line`.
fn each_line(mut reader: impl Read, mut on_line: impl FnMut(&str)) {
    let mut lines = Lines::default();
    let mut buffer = [0; 8 << 10];
    while let Ok(count @ 1..) = reader.read(&mut buffer) {
        lines.add(&buffer[..count], &mut on_line);
    }
    lines.finish(on_line);
}

#[cfg(test)]
mod tests {
    use signal_hook::consts::SIGINT;

    use super::*;

    #[test]
    fn output_and_lines_of_a_child_are_kept_apart() {
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo one >&2; printf 'two\\r' >&2; exit 3"]);
        let finished = Interrupt::never().run(&mut command, |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(finished.stdout, b"out\n");
        assert_eq!(finished.status.code(), Some(3));
        assert_eq!(lines, ["one", "two"]);
    }

    #[test]
    fn an_endless_line_comes_in_pieces() {
        let mut lengths = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "head -c 200000 /dev/zero >&2; echo x >&2"]);
        Interrupt::never().run(&mut command, |line| lengths.push(line.len())).unwrap();
        assert_eq!(lengths, [65536, 65536, 65536, 200_001 - 3 * 65536]);
    }

    #[test]
    fn nothing_is_started_after_a_signal() {
        let interrupt = Interrupt::never();
        interrupt.signal.set(SIGINT);
        let directory = tempfile::tempdir().unwrap();
        let marker = directory.path().join("started");
        let failure = interrupt.run(Command::new("touch").arg(&marker), |_| ()).unwrap_err();
        assert_eq!(failure.class, FailureClass::Interrupted);
        assert!(!marker.exists());
        assert_eq!(interrupt.exit_code(), Some(130));
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let failure = Interrupt::never().run(&mut Command::new("/no/such/program"), |_| ()).unwrap_err();
        assert!(failure.message.contains("/no/such/program"), "{failure}");
    }
}
