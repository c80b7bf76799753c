//! Starts the sandbox init, tells it what to build and what to run, and waits until that runs. Knows nothing
//! of what the init does.

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, Stdio};

use super::error::SandboxError;
use super::message::{self, Command, Report, Request};
use super::tree::{Heard, ProcessTree};

/// What the host allowed an init to build.
pub(super) struct Allowed {
    pub overlays: bool,
    /// What was lost on the way.
    pub lost: Vec<String>,
}

/// Starts an init that does what `request` asks.
pub(super) fn prepare(init: &Path, request: &Request) -> Result<(ProcessTree, Allowed), SandboxError> {
    let mut tree = start_init(init)?;
    // An init that died early closes the socket; what it said before is a better error than "broken pipe".
    let sent = tree.send(|control| message::send(control, request, &[]));
    match tree.hear(None) {
        Ok(Heard::Report(Report::Prepared { lost, overlays })) => Ok((tree, Allowed { overlays, lost })),
        other => Err(refusal(tree, other, sent)),
    }
}

/// Has a prepared init start `command`.
pub(super) fn start(
    mut tree: ProcessTree,
    command: &Command,
    streams: [BorrowedFd<'_>; 3],
) -> Result<ProcessTree, SandboxError> {
    let sent = tree.send(|control| message::send(control, command, &streams));
    match tree.hear(None) {
        Ok(Heard::Report(Report::Running)) => Ok(tree),
        other => Err(refusal(tree, other, sent)),
    }
}

/// Why the init did not say what it should have.
fn refusal(mut tree: ProcessTree, heard: io::Result<Heard>, sent: io::Result<()>) -> SandboxError {
    match heard {
        Ok(Heard::Report(Report::SetUpFailed { step, error })) => SandboxError::SetUp { step, error },
        Ok(Heard::Report(Report::ProgramRefused { program, fault })) => {
            SandboxError::Program { program: program.0, fault }
        }
        Ok(Heard::Report(_) | Heard::Nothing | Heard::Closed) => {
            let died = tree.death();
            match (sent, &died) {
                (Err(source), SandboxError::InitDied { said, .. }) if said.is_empty() => {
                    SandboxError::Control { doing: "send a request to", source }
                }
                _ => died,
            }
        }
        Err(source) => SandboxError::Control { doing: "hear from", source },
    }
}

/// The init's standard error *is* the control socket: no descriptor needs to be inherited past the standard
/// three, and whatever the dynamic loader or a panic has to say arrives here and not in the command's output.
fn start_init(init: &Path) -> Result<ProcessTree, SandboxError> {
    let (ours, theirs) = UnixStream::pair()
        .map_err(|source| SandboxError::Control { doing: "make a control socket for", source })?;
    let child = process::Command::new(init)
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
        .map_err(|source| SandboxError::StartInit { executable: init.to_owned(), source })?;
    Ok(ProcessTree::new(child, ours))
}

pub(super) fn open_null(doing: &'static str) -> Result<File, SandboxError> {
    let open = || -> io::Result<File> {
        Ok(fs_err::File::options().read(true).write(true).open("/dev/null")?.into_parts().0)
    };
    open().map_err(|source| SandboxError::Control { doing, source })
}
