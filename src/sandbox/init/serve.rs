//! The sandbox init, also called a nursery: the process in which commands are started, one after another. Has
//! one thread, speaks over its standard error, and lives as long as there is something to kill. Knows nothing of
//! who asked.
//!
//! It builds what is the same for every command (users, network, most of the file system) and then keeps one
//! child in readiness, the supervisor of the next command: process 1 of namespaces in which only that command's
//! own mounts are missing. It never runs two at a time, as they share a network.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, set_dumpable_behavior, umask};
use rustix::thread::UnshareFlags;

use super::filter;
use super::namespaces;
use super::namespaces::Ground;
use super::supervise;
use super::system;
use crate::sandbox::message;
use crate::sandbox::message::{Network, Report, Request};

use super::step::{Failure, Step};
use super::supervisor::Supervisor;
use super::system::{SingleThreaded, Stack};

/// The whole of `crosswheel sandbox-init`. Must be called before the process has made a second thread.
pub fn run() -> ExitCode {
    ExitCode::from(conclude(serve()))
}

/// Says what went wrong where no report could: whoever started us reads it, as standard error is the nursery's
/// socket, or the control socket; or a person who tried this by hand.
fn conclude(ended: io::Result<Life>) -> u8 {
    match ended {
        Ok(Life::Over) => Life::OVER,
        Ok(Life::GoesOn) => Life::GOES_ON,
        Err(error) => {
            let message = "(crosswheel itself runs this command; it is of no use by hand)";
            let _ = writeln!(io::stderr(), "sandbox-init: {error} {message}");
            1
        }
    }
}

/// What the end of a supervisor means for its nursery.
pub(super) enum Life {
    /// There will be no more commands.
    Over,
    /// A command has ended, and the next one may come.
    GoesOn,
}

impl Life {
    /// As exit codes.
    const OVER: u8 = 0;
    const GOES_ON: u8 = 64;
}

fn serve() -> io::Result<Life> {
    let alone = SingleThreaded::prove()?;
    system::close_inherited_descriptors_on_exec()?;
    let socket = UnixStream::from(io::stderr().as_fd().try_clone_to_owned()?);
    let Some((request, _)) = message::receive::<Request>(&socket)? else { return Ok(Life::Over) };
    // A signal meant for the command must not end the one that cleans up after it. The command gets its own
    // mask.
    system::block_signals()?;
    // For the mount points made on the way as for the command.
    umask(Mode::WGRP | Mode::WOTH);
    let (supervisor_stack, command_stack) = (Stack::new()?, Stack::new()?);
    let nursery = Nursery { alone, socket: socket.into(), request, supervisor_stack, command_stack };
    match nursery.build() {
        Ok(ground) => {
            // A process of the same user could otherwise trace us, and keep us from killing it.
            set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
            nursery.raise_commands(ground.as_ref())
        }
        Err(failure) => {
            nursery.report(&failure.into())?;
            Ok(Life::Over)
        }
    }
}

struct Nursery {
    alone: SingleThreaded,
    socket: OwnedFd,
    request: Request,
    supervisor_stack: Stack,
    command_stack: Stack,
}

impl Nursery {
    /// Does what only needs to be done once. There is nothing to stand on without namespaces.
    fn build(&self) -> Result<Option<Ground>, Failure> {
        if self.request.namespaces {
            return Ground::enter(&self.request).map(Some);
        }
        if self.request.network == Network::Seccomp {
            // All children inherit it.
            filter::install()?;
        }
        Ok(None)
    }

    /// Has one supervisor after another wait for a command and run it.
    fn raise_commands(mut self, ground: Option<&Ground>) -> io::Result<Life> {
        let mut first = true;
        loop {
            let namespaces = ground.map_or(UnshareFlags::empty(), |_| namespaces::OF_A_COMMAND);
            let supervisor = Supervisor {
                alone: &self.alone,
                stack: &mut self.command_stack,
                nursery: &mut self.socket,
                ground,
                first,
            };
            let child = || conclude(supervisor.run());
            let started = system::run_in_child(&self.alone, &mut self.supervisor_stack, namespaces, child)
                .step(|| "create the namespaces of a command".to_owned());
            let supervisor = match started {
                Ok(supervisor) => supervisor,
                Err(failure) => {
                    self.report(&failure.into())?;
                    return Ok(Life::Over);
                }
            };
            match supervise::wait_for(supervisor)? {
                code if code == i32::from(Life::GOES_ON) && self.request.serial => {}
                code if code == i32::from(Life::GOES_ON) => system::end_at_once(Life::OVER.into()),
                // It has said why, or was killed.
                code => system::end_at_once(code),
            }
            if let Some(Err(failure)) = ground.map(Ground::sweep) {
                self.report(&failure.into())?;
                return Ok(Life::Over);
            }
            first = false;
        }
    }

    fn report(&self, report: &Report) -> io::Result<()> {
        message::send_report(&self.socket, report, &[])
    }
}
