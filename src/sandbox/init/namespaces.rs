//! Makes new namespaces liveable: users, host name, loopback interface, file system.
//! Runs in process 1. Knows nothing of the command but what it may see.

use std::io;

use nix::unistd::{Gid, Uid, getegid, geteuid, sethostname};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::root::{self, Unfinished};
use super::step::{Failure, Step};
use crate::sandbox::message::{Network, Request};

/// Uid and gid of the command, as it sees them. Not 0: a command that believes to be root tries to change
/// owners.
const INNER_ID: u32 = 1000;

const HOST_NAME: &str = "crosswheel";

/// The user outside. Inside, before it is mapped, it has no name.
pub(super) struct Owner {
    uid: Uid,
    gid: Gid,
}

impl Owner {
    pub(super) fn of_this_process() -> Self {
        Self { uid: geteuid(), gid: getegid() }
    }
}

/// Returns where the command's own mounts go.
pub(super) fn furnish(owner: &Owner, request: &Request) -> Result<Unfinished, Failure> {
    map_ids(owner)?;
    sethostname(HOST_NAME).step(|| format!("set the host name {HOST_NAME}"))?;
    if request.network == Network::Namespace {
        raise_loopback().step(|| "raise the loopback interface".to_owned())?;
    }
    root::enter(&request.root, owner.uid.is_root())
}

/// Maps one user and one group: more takes privileges outside.
fn map_ids(owner: &Owner) -> Result<(), Failure> {
    // The kernel lets an unprivileged process map a group only once no process in here can drop one.
    let maps = [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/gid_map", format!("{INNER_ID} {} 1", owner.gid)),
        ("/proc/self/uid_map", format!("{INNER_ID} {} 1", owner.uid)),
    ];
    for (file, content) in maps {
        fs_err::write(file, &content)
            .step(|| format!("map the user into a user namespace (write {content:?})"))?;
    }
    Ok(())
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
