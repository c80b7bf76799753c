//! What all commands of a zygote share, as far as it takes namespaces: the user, the host name, a network of
//! their own or the host's, and most of a file system. Knows nothing of the commands.
//!
//! One network namespace for one command after another is as good as a new one for each: its owner is the
//! zygote's user namespace, in which commands have no capabilities and cannot get any, so none can add an
//! interface, a route or a filter; one that makes a user namespace of its own is powerful only over namespaces
//! made in there. Sockets, abstract unix ones included, end with their processes, and those are all dead before
//! the next command starts. What could be left are ports that wait out the end of a connection (TIME_WAIT), and
//! that is switched off. A new one for each command would be more than half of the price of a command.

use std::os::fd::OwnedFd;

use rustix::process::geteuid;
use rustix::system::sethostname;
use rustix::thread::UnshareFlags;

use super::emulation;
use super::filter::{self, Sockets};
use super::namespaces;
use super::root::{Template, Unfinished};
use super::step::Step;
use super::system::{self, Keyrings};
use crate::sandbox::message::{Network, Request};
use crate::sandbox::set_up::{Loss, SetUpFailure, SetUpStep};

/// Uid and gid of the command, as it sees them. Not 0: a command that believes to be root tries to change
/// owners.
const INNER_ID: u32 = 1000;

const HOST_NAME: &str = "crosswheel";

/// The namespaces of a zygote, in which those of its commands are made.
pub(super) struct SharedNamespaces {
    template: Template,
    keyrings: Keyrings,
    /// Keeps the emulator registered; it is of no other use.
    _emulation: Option<OwnedFd>,
}

impl SharedNamespaces {
    /// Moves this process into new namespaces and builds in them what commands share.
    pub(super) fn enter(request: &Request) -> Result<Self, SetUpFailure> {
        let privileged = geteuid().is_root();
        let emulation = request.emulator.as_ref().map(emulation::register).transpose()?;
        let mut kinds = UnshareFlags::NEWUSER | UnshareFlags::NEWNS | UnshareFlags::NEWUTS;
        if request.network == Network::Namespace {
            kinds |= UnshareFlags::NEWNET;
        }
        namespaces::enter(kinds, INNER_ID)?;
        sethostname(HOST_NAME.as_bytes())
            .step_with(|| SetUpStep::SetHostName { name: HOST_NAME.to_owned() })?;
        if request.network == Network::Namespace {
            namespaces::raise_loopback().step(SetUpStep::RaiseLoopback)?;
            namespaces::forget_closed_connections();
        }
        system::drop_bounding_set().step(SetUpStep::DropBoundingSet)?;
        let keyrings = Keyrings::of_this_user_namespace();
        let template = Template::build(request, privileged)?;
        // Last, as it holds for this process too.
        filter::install(Sockets::OfANetwork)?;
        Ok(Self { template, keyrings, _emulation: emulation })
    }

    /// Makes the rest in a process that has [`OF_A_COMMAND`](namespaces::OF_A_COMMAND) to itself, but for the command's own mounts.
    pub(super) fn furnish(&self) -> Result<Unfinished<'_>, SetUpFailure> {
        self.template.furnish()
    }

    /// Removes what a command left in them.
    pub(super) fn sweep(&self) -> Result<(), SetUpFailure> {
        self.keyrings.clear();
        self.template.sweep()
    }

    /// What could not be had.
    pub(super) fn lost(&self) -> &[Loss] {
        &self.template.lost
    }

    /// Whether overlays can be mounted.
    pub(super) fn overlays(&self) -> bool {
        self.template.overlays
    }
}
