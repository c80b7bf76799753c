//! What all commands of a nursery share, as far as it takes namespaces: the user, the host name, a network of
//! their own or the host's, and most of a file system. Knows nothing of the commands.
//!
//! One network namespace for one command after another is as good as a new one for each: its owner is the
//! nursery's user namespace, in which commands have no capabilities and cannot get any, so none can add an
//! interface, a route or a filter; one that makes a user namespace of its own is powerful only over namespaces
//! made in there. Sockets, abstract unix ones included, end with their processes, and those are all dead before
//! the next command starts. What could be left are ports that wait out the end of a connection (TIME_WAIT), and
//! that is switched off. A new one for each command would be more than half of the price of a command.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::process::{Gid, Uid, getegid, geteuid};
use rustix::system::sethostname;
use rustix::thread::UnshareFlags;

use super::emulation;
use super::root::{Template, Unfinished};
use super::step::{Failure, Step};
use super::system::{self, Keyrings};
use crate::sandbox::message::{Network, Request};

/// Uid and gid of the command, as it sees them. Not 0: a command that believes to be root tries to change
/// owners.
const INNER_ID: u32 = 1000;

const HOST_NAME: &str = "crosswheel";

/// What each command gets of its own.
pub(super) const OF_A_COMMAND: UnshareFlags =
    UnshareFlags::NEWNS.union(UnshareFlags::NEWPID).union(UnshareFlags::NEWIPC);

/// What is left to be done for each command stands on this.
pub(super) struct Ground {
    template: Template,
    keyrings: Keyrings,
    /// Keeps the emulator registered; it is of no other use.
    _emulation: Option<OwnedFd>,
}

impl Ground {
    /// Moves this process into new namespaces and builds in them what commands share.
    pub(super) fn enter(request: &Request) -> Result<Self, Failure> {
        let privileged = geteuid().is_root();
        let emulation = request.emulator.as_ref().map(emulation::register).transpose()?;
        let mut namespaces = UnshareFlags::NEWUSER | UnshareFlags::NEWNS | UnshareFlags::NEWUTS;
        if request.network == Network::Namespace {
            namespaces |= UnshareFlags::NEWNET;
        }
        enter(namespaces, INNER_ID)?;
        sethostname(HOST_NAME.as_bytes()).step(|| format!("set the host name {HOST_NAME}"))?;
        if request.network == Network::Namespace {
            raise_loopback().step(|| "raise the loopback interface".to_owned())?;
            forget_closed_connections();
        }
        system::drop_bounding_set().step(|| "forbid new capabilities".to_owned())?;
        let keyrings = Keyrings::of_this_user_namespace();
        Ok(Self { template: Template::build(&request.root, privileged)?, keyrings, _emulation: emulation })
    }

    /// Makes the rest in a process that has [`OF_A_COMMAND`] to itself, but for the command's own mounts.
    pub(super) fn furnish(&self) -> Result<Unfinished, Failure> {
        self.template.furnish()
    }

    /// Removes what a command left on this ground.
    pub(super) fn sweep(&self) -> Result<(), Failure> {
        self.keyrings.clear();
        self.template.sweep()
    }

    /// What could not be had.
    pub(super) fn lost(&self) -> &[String] {
        &self.template.lost
    }

    /// Whether overlays can be mounted.
    pub(super) fn overlays(&self) -> bool {
        self.template.overlays
    }
}

/// Moves this process into user and mount namespaces of its own, in which it is root. For a process that does
/// nothing else: it must have a single thread, and stays there.
///
/// # Errors
/// Says which step the host does not allow.
pub(crate) fn enter_user_and_mount_namespaces() -> Result<(), String> {
    enter(UnshareFlags::NEWUSER | UnshareFlags::NEWNS, 0)
        .map_err(|failure| format!("cannot {}: {}", failure.step, failure.error))
}

/// Moves this process into new namespaces, of which one is a user namespace in which we are the user `inner`.
pub(super) fn enter(namespaces: UnshareFlags, inner: u32) -> Result<(), Failure> {
    let (uid, gid) = (geteuid(), getegid());
    system::enter_namespaces(namespaces).step(|| "create namespaces".to_owned())?;
    map_ids(inner, uid, gid)
}

/// Maps one user and one group: more takes privileges outside.
fn map_ids(inner: u32, uid: Uid, gid: Gid) -> Result<(), Failure> {
    // The kernel lets an unprivileged process map a group only once no process in here can drop one.
    let maps = [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/gid_map", format!("{inner} {gid} 1")),
        ("/proc/self/uid_map", format!("{inner} {uid} 1")),
    ];
    for (file, content) in maps {
        fs_err::write(file, &content)
            .step(|| format!("map the user into a user namespace (write {content:?})"))?;
    }
    Ok(())
}

/// A port is free again as soon as its connections are closed. Where the setting cannot be changed (`/proc` may
/// be read-only in a container) a command that insists on a port may have to wait for it, as on any host.
fn forget_closed_connections() {
    let _ = fs_err::write(Path::new("/proc/sys/net/ipv4/tcp_max_tw_buckets"), "0");
}

/// Asks the kernel to set interface 1, which is the loopback in every network namespace, to "up"; addresses
/// come with it.
fn raise_loopback() -> io::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_AND_ACKNOWLEDGE: u16 = 0x1 | 0x4;
    const IFF_UP: u32 = 1;
    const LOOPBACK_INDEX: u32 = 1;
    const LENGTH: u32 = 32;
    let mut message = Vec::with_capacity(LENGTH as usize);
    // struct nlmsghdr
    message.extend(LENGTH.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(REQUEST_AND_ACKNOWLEDGE.to_ne_bytes());
    message.extend([0; 8]);
    // struct ifinfomsg
    message.extend([0; 4]);
    message.extend(LOOPBACK_INDEX.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());

    // No protocol means NETLINK_ROUTE, which is number 0.
    let socket =
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    rustix::net::send(&socket, &message, SendFlags::empty())?;
    let mut answer = [0; 256];
    let (received, _) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())?;
    // The answer is a header and an error number, negative, or zero for an acknowledgement.
    let error = answer[..received]
        .get(16..20)
        .and_then(|bytes| bytes.try_into().ok())
        .map(i32::from_ne_bytes)
        .ok_or_else(|| io::Error::other("the kernel's answer is too short"))?;
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-error)) }
}
