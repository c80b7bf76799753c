//! The sandbox init: the process between us and a command. Has one thread, speaks over its standard error,
//! and lives as long as there is something to kill. Knows nothing of who asked.

mod census;
mod command;
mod filter;
mod namespaces;
mod root;
mod step;
mod supervise;
mod system;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{self, ExitCode};

use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use nix::unistd::getpid;

use super::message::{self, Command, Network, Report, Request};
use command::Start;
use root::Unfinished;
use step::{Failure, Step};
use supervise::Realm;
use system::{Side, SingleThreaded};

/// The whole of `crosswheel sandbox-init`. Must be called before the process has made a second thread.
pub fn run() -> ExitCode {
    ExitCode::from(conclude(serve()))
}

/// Says what went wrong where no report could: whoever started us reads it, as standard error is the control
/// socket; or a person who tried this by hand.
fn conclude(ended: io::Result<()>) -> u8 {
    match ended {
        Ok(()) => 0,
        Err(error) => {
            let message = "(crosswheel itself runs this command; it is of no use by hand)";
            let _ = writeln!(io::stderr(), "sandbox-init: {error} {message}");
            1
        }
    }
}

/// Errors come from here only before a request has been understood; later ones are reports.
fn serve() -> io::Result<()> {
    let alone = SingleThreaded::prove()?;
    system::close_inherited_descriptors_on_exec()?;
    let control = UnixStream::from(io::stderr().as_fd().try_clone_to_owned()?);
    let Some((request, _)) = message::receive(&control)? else { return Ok(()) };
    // A signal meant for the command must not end the one that cleans up after it. The command gets its own
    // mask.
    SigSet::all().thread_block()?;
    // For the mount points made on the way as for the command.
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    let session = Session { alone, control, request };
    if session.request.namespaces { session.inside_namespaces() } else { session.on_the_host() }
}

/// Everything an init has.
struct Session {
    alone: SingleThreaded,
    control: UnixStream,
    request: Request,
}

impl Session {
    /// Clones process 1 of new namespaces and waits for its end: the namespaces are gone when it is.
    fn inside_namespaces(self) -> io::Result<()> {
        let owner = namespaces::Owner::of_this_process();
        let mut flags = CloneFlags::CLONE_NEWUSER
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS;
        if self.request.network == Network::Namespace {
            flags |= CloneFlags::CLONE_NEWNET;
        }
        match system::clone_process(&self.alone, flags).step(|| "create namespaces".to_owned()) {
            Ok(Side::Child) => process::exit(conclude(self.be_process_one(&owner)).into()),
            Ok(Side::Parent(process_one)) => {
                self.let_go()?;
                process::exit(supervise::wait_for(process_one)?)
            }
            Err(failure) => self.report(&failure.into()),
        }
    }

    /// Gives up the control socket, so that its end is the end of process 1.
    fn let_go(self) -> io::Result<()> {
        let null = fs_err::File::options().write(true).open("/dev/null")?;
        nix::unistd::dup2_stderr(null.file())?;
        Ok(())
    }

    fn be_process_one(self, owner: &namespaces::Owner) -> io::Result<()> {
        // If the one who waits for us is killed, nobody else would notice.
        let prepared = prctl::set_pdeathsig(Signal::SIGKILL)
            .step(|| "tie process 1 to its parent".to_owned())
            .and_then(|()| namespaces::furnish(owner, &self.request));
        match prepared {
            Ok(root) => self.serve_command(Realm::PidNamespace, Some(root)),
            Err(failure) => self.report(&failure.into()),
        }
    }

    /// Adopts every orphan among the descendants, so that none can leave the tree.
    fn on_the_host(self) -> io::Result<()> {
        let prepared = prctl::set_child_subreaper(true)
            .step(|| "adopt orphaned processes".to_owned())
            // The command inherits it.
            .and_then(|()| if self.request.network == Network::Seccomp { filter::install() } else { Ok(()) });
        match prepared {
            Ok(()) => self.serve_command(Realm::Descendants, None),
            Err(failure) => self.report(&failure.into()),
        }
    }

    /// Says that all is ready, and waits for a command. `root` is where its mounts go.
    fn serve_command(self, realm: Realm, mut root: Option<Unfinished>) -> io::Result<()> {
        let overlays = root.as_ref().is_some_and(|root| root.overlays);
        let lost = root.as_mut().map(|root| std::mem::take(&mut root.lost)).unwrap_or_default();
        self.report(&Report::Prepared { lost, overlays })?;
        let Some((command, streams)) = message::receive::<Command>(&self.control)? else { return Ok(()) };
        let streams = <[OwnedFd; 3]>::try_from(streams)
            .map_err(|got| io::Error::other(format!("{} descriptors instead of three", got.len())))?;
        let overlays = match root.map_or(Ok(Vec::new()), |root| root.finish(&command)) {
            Ok(overlays) => overlays,
            Err(failure) => return self.report(&failure.into()),
        };
        // A process of the same user could otherwise trace us and keep us from killing it.
        prctl::set_dumpable(false)?;
        let (mut refusals, refusal_writer) = io::pipe()?;
        let start = Start { command, realm };
        let supervisor = getpid();
        let main = match system::clone_process(&self.alone, CloneFlags::empty()) {
            Ok(Side::Parent(main)) => main,
            Ok(Side::Child) => {
                let report = start.execute(streams, supervisor);
                let mut writer = File::from(OwnedFd::from(refusal_writer));
                let written = writer.write_all(&report.to_line());
                process::exit(i32::from(written.is_err()))
            }
            Err(error) => {
                let failure = Failure { step: "fork".to_owned(), error: error.to_string() };
                return self.report(&failure.into());
            }
        };
        drop(refusal_writer);
        drop(streams);
        let mut refusal = Vec::new();
        refusals.read_to_end(&mut refusal)?;
        if !refusal.is_empty() {
            return (&self.control).write_all(&refusal);
        }
        if realm == Realm::PidNamespace {
            system::drop_capabilities()?;
        }
        let directories: Vec<_> = overlays.iter().map(AsFd::as_fd).collect();
        message::send_report(&self.control, &Report::Running, &directories)?;
        drop(overlays);
        let end = supervise::supervise(&self.control, main, realm)?;
        (&self.control).write_all(&end.to_line())
    }

    fn report(&self, report: &Report) -> io::Result<()> {
        (&self.control).write_all(&report.to_line())
    }
}
