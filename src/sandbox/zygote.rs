//! A zygote, the process in which commands are started, from our side. Knows nothing of what the commands do.

use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::control_group::{ControlGroup, ControlGroups};
use super::error::SandboxError;
use super::message::{self, Command, Report, Request};
use super::own_executable::OwnExecutable;
use super::report_reader::{Received, ReportReader};
use super::set_up::{Loss, SetUpFailure};

/// How long a killed tree may take to die. The kernel kills at once; what takes long is a process stuck in a
/// system call.
pub(super) const KILL_GRACE: Duration = Duration::from_secs(30);

/// How long after its first command a zygote is good for another.
const FRESH: Duration = Duration::from_secs(10);

/// How long a shortage is waited for, each time before another attempt.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(20),
    Duration::from_millis(80),
    Duration::from_millis(250),
    Duration::from_millis(650),
    Duration::from_millis(1000),
];

/// A `sandbox-init`. Dropping it ends it, and waits for that.
#[derive(Debug)]
pub(super) struct Zygote {
    process: Child,
    socket: UnixStream,
    reports: ReportReader,
    /// A step that failed when nobody was waiting for it.
    last_failure: Option<SetUpFailure>,
    ended: bool,
    /// When it was first given a command.
    used_since: Option<Instant>,
    /// What it and its commands are in. Goes last, as nobody may be in it then.
    group: Option<ControlGroup>,
}

/// What the host allowed a zygote to build.
pub(super) struct Allowed {
    pub overlays: bool,
    /// What was lost on the way.
    pub lost: Vec<Loss>,
}

impl Zygote {
    /// Starts one that does what `request` asks, and waits until it is ready.
    fn start(
        executable: &OwnExecutable,
        request: &Request,
        groups: Option<&ControlGroups>,
    ) -> Result<(Self, Allowed), SandboxError> {
        let mut zygote = Self::execute(executable)?;
        // Before it has a child that would have to be moved, too.
        zygote.group = groups.and_then(|groups| groups.make().ok());
        if let Some(group) = &zygote.group
            && let Err(error) = group.take(zygote.process.id())
        {
            tracing::warn!("a sandbox goes without a control group: {error}");
            zygote.group = None;
        }
        // One that died early closes the socket; what it said before is a better error than "broken pipe".
        let sent = message::send(&zygote.socket, request, &[]);
        match zygote.reports.next(&zygote.socket, None) {
            Ok(Received::Report(Report::Prepared { lost, overlays })) => {
                Ok((zygote, Allowed { overlays, lost }))
            }
            Ok(Received::Report(Report::SetUpFailed(failure))) => Err(failure.into()),
            Ok(_) => Err(zygote.death(sent)),
            Err(source) => Err(SandboxError::Control { doing: "hear from", source }),
        }
    }

    /// As [`Zygote::start`], but tries again for a while if this host has run out of what it takes, as that may pass.
    ///
    /// `groups` is where one is made for it; a group that cannot be made is done without.
    pub(super) fn start_patiently(
        executable: &OwnExecutable,
        request: &Request,
        groups: Option<&ControlGroups>,
    ) -> Result<(Self, Allowed), SandboxError> {
        let mut pauses = PAUSES.into_iter();
        loop {
            match Self::start(executable, request, groups) {
                Err(error) if error.is_passing() => match pauses.next() {
                    Some(pause) => std::thread::sleep(pause),
                    None => return Err(error),
                },
                started => return started,
            }
        }
    }

    /// The zygote's standard error *is* the socket: no descriptor needs to be inherited past the standard
    /// three, and whatever the dynamic loader or a panic has to say arrives here and not in a command's output.
    fn execute(executable: &OwnExecutable) -> Result<Self, SandboxError> {
        let (socket, theirs) = UnixStream::pair()
            .map_err(|source| SandboxError::Control { doing: "make a control socket for", source })?;
        let process = executable
            .command()
            .arg("sandbox-init")
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(OwnedFd::from(theirs)))
            // Its own process group, so that an interrupt from the terminal reaches us and not the one that
            // cleans up.
            .process_group(0)
            .spawn()
            .map_err(|source| SandboxError::StartInit { executable: executable.file().to_owned(), source })?;
        Ok(Self {
            process,
            socket,
            reports: ReportReader::default(),
            last_failure: None,
            ended: false,
            used_since: None,
            group: None,
        })
    }

    /// Whether it can still take a command, as far as can be told.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Whether the kernel has killed one of its processes, since this was last asked, as their control group has too little
    /// memory.
    pub(super) fn was_killed_for_memory(&mut self) -> bool {
        self.group.as_mut().is_some_and(ControlGroup::was_killed_for_memory)
    }

    /// Whether what its commands have looked up of the host is too old for another one: the kernel remembers that of the
    /// overlays through which they see it, also of what was not there.
    pub(super) fn is_stale(&self) -> bool {
        self.used_since.is_some_and(|since| since.elapsed() > FRESH)
    }

    /// Hands over a command, which will report through `control`. That this failed is seen on the other end of
    /// `control` too, which then has nobody behind it.
    pub(super) fn give(
        &mut self,
        command: &Command,
        control: UnixStream,
        [stdin, stdout, stderr]: [BorrowedFd<'_>; 3],
    ) -> io::Result<()> {
        self.used_since.get_or_insert_with(Instant::now);
        if let Some(group) = &mut self.group
            && let Err(error) = group.limit(command.limits)
        {
            tracing::warn!("the limits of a command are not the kernel's to hold: {error}");
        }
        message::send(&self.socket, command, &[control.as_fd(), stdin, stdout, stderr])
    }

    /// Ends one that runs nothing.
    pub(super) fn dismiss(mut self) -> Result<ExitStatus, SandboxError> {
        self.end()
    }

    /// The error for one that ended, or had to, before it should have. `sent` is what came of telling it
    /// something.
    pub(super) fn death(mut self, sent: io::Result<()>) -> SandboxError {
        let status = match self.end() {
            Ok(status) => status,
            Err(error) => return error,
        };
        if let Some(failure) = self.last_failure.take() {
            return failure.into();
        }
        let said = self.reports.said();
        match sent {
            Err(source) if said.is_empty() && status.success() => {
                SandboxError::Control { doing: "send a request to", source }
            }
            _ => SandboxError::InitDied { status, said },
        }
    }

    /// The socket ends when the zygote does, so there is nothing to be polled.
    fn end(&mut self) -> Result<ExitStatus, SandboxError> {
        // Somebody else, a fork in another thread on its way to an exec, may hold a copy of our end.
        let _ = self.socket.shutdown(Shutdown::Write);
        loop {
            match self.reports.next(&self.socket, Some(KILL_GRACE)) {
                Ok(Received::Report(Report::SetUpFailed(failure))) => self.last_failure = Some(failure),
                Ok(Received::Report(_)) => {}
                Ok(Received::Closed) => break,
                Ok(Received::Nothing) => {
                    return Err(SandboxError::Unkillable { seconds: KILL_GRACE.as_secs() });
                }
                Err(source) => return Err(SandboxError::Control { doing: "hear from", source }),
            }
        }
        let status =
            self.process.wait().map_err(|source| SandboxError::Control { doing: "wait for", source })?;
        self.ended = true;
        Ok(status)
    }

    /// Has it, and a supervisor of its own that somebody has stopped, go on; `at_once` ends both instead, and with the
    /// supervisor its tree.
    pub(super) fn rouse(&self, at_once: bool) {
        let signal = if at_once { Signal::KILL } else { Signal::CONT };
        // Both are in a group of their own; commands are in others.
        if let Some(group) = Pid::from_raw(i32::try_from(self.process.id()).unwrap_or(0)) {
            let _ = kill_process_group(group, signal);
        }
    }

    /// Kills it, and with it all it started, at least where it has namespaces.
    pub(super) fn kill(mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.ended = true;
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        if !self.ended && self.end().is_err() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

pub(super) fn open_null(doing: &'static str) -> Result<File, SandboxError> {
    let open = || -> io::Result<File> {
        Ok(fs_err::File::options().read(true).write(true).open("/dev/null")?.into_parts().0)
    };
    open().map_err(|source| SandboxError::Control { doing, source })
}
