//! The life of a supervisor: it makes ready, waits for a command, starts it, and sees to its end. With
//! namespaces it is their process 1. Knows nothing of the commands before and after.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::io::DupFlags;
use rustix::process::{Pid, Signal, getpid, set_child_subreaper, set_parent_process_death_signal};
use rustix::stdio::dup2_stderr;
use rustix::thread::UnshareFlags;

use super::census;
use super::command::Start;
use super::memory_shortage;
use super::meter::Meter;
use super::root::{Finished, Unfinished};
use super::shared_namespaces::SharedNamespaces;
use super::step::Step;
use super::supervise::{self, Realm};
use super::system::{self, SingleThreaded, Stack};
use crate::sandbox::message::{self, Command, Report};
use crate::sandbox::set_up::{Loss, SetUpFailure, SetUpStep};

/// What the end of a supervisor means for its zygote.
pub(super) enum SupervisorEnd {
    /// There will be no more commands.
    Over,
    /// A command has ended, and the next one may come.
    GoesOn,
}

impl SupervisorEnd {
    /// As exit codes.
    pub(super) const OVER: u8 = 0;
    pub(super) const GOES_ON: u8 = 64;
}

pub(super) struct Supervisor<'a> {
    pub alone: &'a SingleThreaded,
    /// For the command, until it is one.
    pub stack: &'a mut Stack,
    /// Where the command comes from. This process and its zygote share the variable but not the descriptor.
    pub zygote: &'a mut OwnedFd,
    /// What the zygote has built, if there are namespaces.
    pub shared: Option<&'a SharedNamespaces>,
    /// Whether we have to say what the host allows.
    pub first: bool,
}

impl<'a> Supervisor<'a> {
    pub(super) fn run(self) -> io::Result<SupervisorEnd> {
        let root = match self.make_ready() {
            Ok(root) => root,
            Err(failure) => {
                message::send_report(&*self.zygote, &failure.into(), &[])?;
                return Ok(SupervisorEnd::Over);
            }
        };
        if self.first {
            self.say_ready(root.as_ref())?;
        }
        let Some((command, descriptors)) = message::receive::<Command>(&*self.zygote)? else {
            return Ok(SupervisorEnd::Over);
        };
        let [control, stdin, stdout, stderr] = <[OwnedFd; 4]>::try_from(descriptors)
            .map_err(|got| io::Error::other(format!("{} descriptors instead of four", got.len())))?;
        // From now on a cry of ours is about this command.
        dup2_stderr(&control)?;
        // Nobody else may hold the zygote's socket, whose end means its end.
        rustix::io::dup3(&control, self.zygote, DupFlags::CLOEXEC)?;
        let mut session = Session { alone: self.alone, stack: self.stack, control: control.into() };
        session.run(command, [stdin, stdout, stderr], root)?;
        Ok(SupervisorEnd::GoesOn)
    }

    fn make_ready(&self) -> Result<Option<Unfinished<'a>>, SetUpFailure> {
        // If the one who waits for us is killed, nobody else would notice.
        set_parent_process_death_signal(Some(Signal::KILL)).step(SetUpStep::TieSupervisor)?;
        match self.shared {
            Some(shared) => shared.furnish().map(Some),
            None => {
                // No orphan among our descendants can leave the tree.
                set_child_subreaper(Some(getpid())).step(SetUpStep::AdoptOrphans)?;
                Ok(None)
            }
        }
    }

    fn say_ready(&self, root: Option<&Unfinished<'_>>) -> io::Result<()> {
        let mut lost: Vec<Loss> = self.shared.map(|shared| shared.lost().to_vec()).unwrap_or_default();
        lost.extend(root.iter().flat_map(|root| root.lost.iter().cloned()));
        let overlays = self.shared.is_some_and(SharedNamespaces::overlays);
        message::send_report(&*self.zygote, &Report::Prepared { lost, overlays }, &[])
    }
}

/// A supervisor with a command.
struct Session<'a> {
    alone: &'a SingleThreaded,
    stack: &'a mut Stack,
    control: UnixStream,
}

impl Session<'_> {
    fn run(
        &mut self,
        command: Command,
        streams: [OwnedFd; 3],
        root: Option<Unfinished<'_>>,
    ) -> io::Result<()> {
        let realm = if root.is_some() { Realm::PidNamespace } else { Realm::Descendants };
        let limits = command.limits;
        let finished = match root.map(|root| root.finish(&command)).transpose() {
            Ok(finished) => finished,
            Err(failure) => return self.report(&failure.into()),
        };
        let started = Start::new(command, realm).and_then(|start| self.start(&start, &streams));
        let main = match started {
            Ok(main) => main,
            Err(refusal) => return self.report(&refusal),
        };
        drop(streams);
        let own_pid = census::own_pid()?;
        memory_shortage::offer_command(main, own_pid);
        if realm == Realm::PidNamespace {
            system::drop_capabilities()?;
        }
        let (overlays, in_memory) = match finished {
            Some(Finished { overlays, in_memory }) => (overlays, Some(in_memory)),
            None => (Vec::new(), None),
        };
        let directories: Vec<_> = overlays.iter().map(AsFd::as_fd).collect();
        message::send_report(&self.control, &Report::Running, &directories)?;
        drop(overlays);
        let meter = Meter::new(own_pid, in_memory, limits);
        let end = supervise::supervise(&self.control, main, realm, meter, own_pid)?;
        self.report(&end)
    }

    /// Starts the command; says why if it could not be.
    fn start(&mut self, start: &Start, streams: &[OwnedFd; 3]) -> Result<Pid, Report> {
        let supervisor = getpid();
        let mut refusal = None;
        let child = || {
            refusal = Some(start.execute(streams, supervisor));
            0
        };
        let main = system::run_in_child(self.alone, self.stack, UnshareFlags::empty(), child);
        match (main, refusal) {
            (Ok(main), None) => Ok(main),
            (Ok(_), Some(refusal)) => Err(refusal),
            (Err(error), _) => Err(SetUpFailure { step: SetUpStep::Fork, cause: error.into() }.into()),
        }
    }

    fn report(&self, report: &Report) -> io::Result<()> {
        message::send_report(&self.control, report, &[])
    }
}
