//! Starts the sandbox init, hands it a request and waits until the command runs. Knows nothing of what the
//! init does.

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::error::SandboxError;
use super::message::{self, Report, Request};
use super::tree::{Heard, ProcessTree};

/// Starts `request`; returns the tree and what was lost on the way.
pub(super) fn start(
    init: &Path,
    request: &Request,
    streams: [BorrowedFd<'_>; 3],
) -> Result<(ProcessTree, Vec<String>), SandboxError> {
    let mut tree = start_init(init)?;
    // An init that died early closes the socket; what it said before is a better error than "broken pipe".
    let sent = tree.send(|control| message::send(control, request, streams));
    match tree.hear(None) {
        Ok(Heard::Report(Report::Ready { lost })) => Ok((tree, lost)),
        Ok(Heard::Report(Report::SetUpFailed { step, error })) => Err(SandboxError::SetUp { step, error }),
        Ok(Heard::Report(Report::ProgramRefused { program, fault })) => {
            Err(SandboxError::Program { program: program.0, fault })
        }
        Ok(Heard::Report(Report::Finished { .. }) | Heard::Nothing | Heard::Closed) => {
            let died = tree.into_death();
            match (sent, &died) {
                (Err(source), SandboxError::InitDied { said, .. }) if said.is_empty() => {
                    Err(SandboxError::Control { doing: "send a request to", source })
                }
                _ => Err(died),
            }
        }
        Err(source) => Err(SandboxError::Control { doing: "hear from", source }),
    }
}

/// The init's standard error *is* the control socket: no descriptor needs to be inherited past the standard
/// three, and whatever the dynamic loader or a panic has to say arrives here and not in the command's output.
fn start_init(init: &Path) -> Result<ProcessTree, SandboxError> {
    let (ours, theirs) = UnixStream::pair()
        .map_err(|source| SandboxError::Control { doing: "make a control socket for", source })?;
    let child = Command::new(init)
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
