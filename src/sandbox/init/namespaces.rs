//! Namespaces: made, with the user mapped and the loopback interface up. Knows nothing of what they are for.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::process::{Gid, Uid, getegid, geteuid};
use rustix::thread::UnshareFlags;

use super::step::Step;
use super::system;
use crate::sandbox::set_up::{SetUpFailure, SetUpStep};

/// What each command gets of its own.
pub(super) const OF_A_COMMAND: UnshareFlags =
    UnshareFlags::NEWNS.union(UnshareFlags::NEWPID).union(UnshareFlags::NEWIPC);

/// Moves this process into user and mount namespaces of its own, in which it is root. For a process that does
/// nothing else: it must have a single thread, and stays there.
///
/// # Errors
/// Says which step the host does not allow.
pub(crate) fn enter_user_and_mount_namespaces() -> Result<(), SetUpFailure> {
    enter(UnshareFlags::NEWUSER | UnshareFlags::NEWNS, 0)
}

/// Moves this process into a cgroup namespace of its own, and the user namespace which that takes: for who tries whether
/// that is possible. As for [`enter_user_and_mount_namespaces`].
///
/// # Errors
/// Says which step the host does not allow.
pub(crate) fn enter_cgroup_namespace() -> Result<(), SetUpFailure> {
    enter(UnshareFlags::NEWUSER | UnshareFlags::NEWCGROUP, 0)
}

/// Moves this process into new namespaces, of which one is a user namespace in which we are the user `inner`.
pub(super) fn enter(namespaces: UnshareFlags, inner: u32) -> Result<(), SetUpFailure> {
    let (uid, gid) = (geteuid(), getegid());
    system::enter_namespaces(namespaces).step(SetUpStep::CreateNamespaces)?;
    map_ids(inner, uid, gid)
}

/// Maps one user and one group: more takes privileges outside.
fn map_ids(inner: u32, uid: Uid, gid: Gid) -> Result<(), SetUpFailure> {
    // The kernel lets an unprivileged process map a group only once no process in here can drop one.
    let maps = [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/gid_map", format!("{inner} {gid} 1")),
        ("/proc/self/uid_map", format!("{inner} {uid} 1")),
    ];
    for (file, content) in maps {
        write(file, &content).step_with(|| SetUpStep::MapUser { content: content.clone() })?;
    }
    Ok(())
}

/// The step says what was written, so an error of the standard library, with the kernel's number, will do.
fn write(file: &str, content: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(file)?.write_all(content.as_bytes())
}

/// A port is free again as soon as its connections are closed. Where the setting cannot be changed (`/proc` may
/// be read-only in a container) a command that insists on a port may have to wait for it, as on any host.
pub(super) fn forget_closed_connections() {
    let _ = fs_err::write(Path::new("/proc/sys/net/ipv4/tcp_max_tw_buckets"), "0");
}

/// Asks the kernel to set interface 1, which is the loopback in every network namespace, to "up"; addresses
/// come with it.
pub(super) fn raise_loopback() -> io::Result<()> {
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
