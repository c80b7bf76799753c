//! The life of a zygote: it builds what all its commands share, and has one supervisor after another. Knows nothing of
//! who asked.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, set_dumpable_behavior, umask};
use rustix::thread::UnshareFlags;

use super::filter::Sockets;
use super::shared_namespaces::SharedNamespaces;
use super::step::Step;
use super::supervisor::{Supervisor, SupervisorEnd};
use super::system::{SingleThreaded, Stack};
use super::{filter, memory_shortage, namespaces, supervise, system};
use crate::sandbox::message;
use crate::sandbox::message::{Network, Report, Request};
use crate::sandbox::set_up::{SetUpFailure, SetUpStep};

/// The whole of `crosswheel sandbox-init`. Must be called before the process has made a second thread.
pub fn run() -> ExitCode {
    ExitCode::from(conclude(serve()))
}

/// Says what went wrong where no report could: whoever started us reads it, as standard error is the zygote's
/// socket, or the control socket; or a person who tried this by hand.
fn conclude(ended: io::Result<SupervisorEnd>) -> u8 {
    match ended {
        Ok(SupervisorEnd::Over) => SupervisorEnd::OVER,
        Ok(SupervisorEnd::GoesOn) => SupervisorEnd::GOES_ON,
        Err(error) => {
            let message = "(crosswheel itself runs this command; it is of no use by hand)";
            let _ = writeln!(io::stderr(), "sandbox-init: {error} {message}");
            1
        }
    }
}

fn serve() -> io::Result<SupervisorEnd> {
    let alone = SingleThreaded::prove()?;
    system::close_inherited_descriptors_on_exec()?;
    let socket = UnixStream::from(io::stderr().as_fd().try_clone_to_owned()?);
    let Some((request, _)) = message::receive::<Request>(&socket)? else { return Ok(SupervisorEnd::Over) };
    // A signal meant for the command must not end the one that cleans up after it. The command gets its own
    // mask.
    system::block_signals()?;
    // For the mount points made on the way as for the command.
    umask(Mode::WGRP | Mode::WOTH);
    memory_shortage::offer_this_process();
    let (supervisor_stack, command_stack) = (Stack::new()?, Stack::new()?);
    let zygote = Zygote { alone, socket: socket.into(), request, supervisor_stack, command_stack };
    match zygote.build() {
        Ok(shared) => {
            // A process of the same user could otherwise trace us, and keep us from killing it.
            set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
            zygote.raise_commands(shared.as_ref())
        }
        Err(failure) => {
            zygote.report(&failure.into())?;
            Ok(SupervisorEnd::Over)
        }
    }
}

struct Zygote {
    alone: SingleThreaded,
    socket: OwnedFd,
    request: Request,
    supervisor_stack: Stack,
    command_stack: Stack,
}

impl Zygote {
    /// Does what only needs to be done once. There is nothing to stand on without namespaces.
    fn build(&self) -> Result<Option<SharedNamespaces>, SetUpFailure> {
        if self.request.namespaces {
            return SharedNamespaces::enter(&self.request).map(Some);
        }
        if self.request.network == Network::Seccomp {
            // All children inherit it.
            filter::install(Sockets::OfThisHost)?;
        }
        Ok(None)
    }

    /// Has one supervisor after another wait for a command and run it.
    fn raise_commands(mut self, shared: Option<&SharedNamespaces>) -> io::Result<SupervisorEnd> {
        let mut first = true;
        loop {
            let namespaces = shared.map_or(UnshareFlags::empty(), |_| namespaces::OF_A_COMMAND);
            let supervisor = Supervisor {
                alone: &self.alone,
                stack: &mut self.command_stack,
                zygote: &mut self.socket,
                shared,
                first,
            };
            let child = || conclude(supervisor.run());
            let started = system::run_in_child(&self.alone, &mut self.supervisor_stack, namespaces, child)
                .step(SetUpStep::CreateNamespacesOfACommand);
            let supervisor = match started {
                Ok(supervisor) => supervisor,
                Err(failure) => {
                    self.report(&failure.into())?;
                    return Ok(SupervisorEnd::Over);
                }
            };
            match supervise::wait_for(supervisor)? {
                code if code == i32::from(SupervisorEnd::GOES_ON) && self.request.serial => {}
                code if code == i32::from(SupervisorEnd::GOES_ON) => {
                    system::end_at_once(SupervisorEnd::OVER.into())
                }
                // It has said why, or was killed.
                code => system::end_at_once(code),
            }
            if let Some(Err(failure)) = shared.map(SharedNamespaces::sweep) {
                self.report(&failure.into())?;
                return Ok(SupervisorEnd::Over);
            }
            first = false;
        }
    }

    fn report(&self, report: &Report) -> io::Result<()> {
        message::send_report(&self.socket, report, &[])
    }
}
