//! What we and a zygote say to each other, and how it is written. Knows nothing of what either side does with it.
//!
//! ```text
//! over the zygote's socket
//!   us     → zygote     what to build: 8 bytes of length, the request as JSON
//!   zygote → us         `Prepared`; reports are one JSON line each, any other line is a cry of the zygote,
//!                        its loader or its runtime
//!   us     → zygote     what to run, in the same form; attached to the length are a control socket and
//!                        three streams. Or end of file: nothing, after all
//! over the command's control socket
//!   supervisor → us      `Running`, later `Finished`
//!   us → supervisor      one byte: kill everything; end of file: we are gone, kill everything
//! ```
//!
//! After `Prepared` a zygote speaks up only to complain.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::ProgramFault;
use super::exit::Outcome;
use super::limits::{MetLimit, ResourceLimits};
use super::set_up::{Loss, SetUpFailure};
use super::spec::{MOST_OVERLAYS, Overlay, Spec};
use super::text::Text;

/// A message carries a command's control socket and standard streams, or the overlays it got.
const MOST_DESCRIPTORS: usize = MOST_OVERLAYS;

/// The kernel refuses arguments and environments of a few megabytes.
const LARGEST_MESSAGE: usize = 1 << 30;

/// What the init is to build.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub namespaces: bool,
    pub network: Network,
    pub root: Root,
    /// Who is to run the programs of that root.
    pub emulator: Option<Registration>,
    /// Whether commands will follow the first one.
    pub serial: bool,
    /// Directories of the host that no command may see, wherever they are; without links.
    pub hidden: Vec<Text>,
    /// Most memory that a command's own directories in memory may take together, as long as it does not say less.
    pub private_bytes: u64,
}

/// [`RootFileSystem`](super::spec::RootFileSystem), looked up on the host.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Root {
    Host,
    HostDirectories(Vec<Mount>),
    /// Without links.
    Directory(Text),
}

/// An emulator that commands and all they start are to have.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Registration {
    /// For people.
    pub name: String,
    /// What is to be written into the file `register` of a binfmt_misc.
    pub line: Text,
}

/// What stands between the command and the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Network {
    /// Nothing.
    Open,
    /// A network namespace with a loopback interface.
    Namespace,
    /// A filter that refuses to make sockets.
    Seccomp,
}

/// What to run: [`Spec`] without its descriptors.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Command {
    pub argv: Vec<Text>,
    pub env: Vec<(Text, Text)>,
    pub working_directory: Text,
    /// Mounted in this order, before `mounts`; empty without namespaces.
    pub overlays: Vec<OverlayMount>,
    /// In this order; empty without namespaces.
    pub mounts: Vec<Mount>,
    pub limits: ResourceLimits,
}

/// [`Overlay`](super::spec::Overlay). Links in the host's paths are followed as the host would.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OverlayMount {
    pub lower: Vec<Text>,
    pub upper: Text,
    pub work: Text,
    pub inside: Text,
}

/// A file or directory of the host and the place where the command sees it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mount {
    /// Without links.
    pub host: Text,
    pub inside: Text,
    pub directory: bool,
    pub writable: bool,
}

/// What the init has to say.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// A command could run; `lost` is what the host refused on the way.
    Prepared { lost: Vec<Loss>, overlays: bool },
    /// The command runs. One descriptor per overlay is attached.
    Running,
    /// A step failed; nothing runs of the command, or ever will in this zygote if it was not told one.
    SetUpFailed(SetUpFailure),
    /// The command could not be started; nothing runs.
    ProgramRefused { program: Text, fault: ProgramFault },
    /// The command has ended and every process it left is dead.
    Finished {
        outcome: Outcome,
        /// The command was still running when the kill came.
        killed: bool,
        /// Why it was killed, if it was not we who wanted it.
        met: Option<MetLimit>,
        peak_memory_bytes: u64,
        user_microseconds: u64,
        system_microseconds: u64,
    },
}

impl Report {
    pub(super) fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("reports hold only strings, numbers and byte lists");
        line.push(b'\n');
        line
    }
}

impl Command {
    pub fn new(spec: &Spec, mounts: Vec<Mount>) -> Self {
        Self {
            argv: spec.argv.iter().map(Text::from).collect(),
            env: spec.env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            working_directory: spec.working_directory.as_os_str().into(),
            overlays: spec.overlays.iter().map(OverlayMount::new).collect(),
            mounts,
            limits: spec.limits.or_of_this_machine(),
        }
    }
}

impl OverlayMount {
    fn new(overlay: &Overlay) -> Self {
        Self {
            lower: overlay.lower.iter().map(Text::from).collect(),
            upper: overlay.upper.as_os_str().into(),
            work: overlay.work.as_os_str().into(),
            inside: overlay.inside.as_os_str().into(),
        }
    }
}

/// Sends a message and descriptors.
pub(super) fn send(
    socket: impl AsFd,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let mut bytes = (body.len() as u64).to_le_bytes().to_vec();
    bytes.extend(body);
    send_bytes(socket, &bytes, descriptors)
}

/// Sends a report and descriptors.
pub(super) fn send_report(
    socket: impl AsFd,
    report: &Report,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    send_bytes(socket, &report.to_line(), descriptors)
}

fn send_bytes(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut attached = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !attached.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other(format!("{} descriptors are too many to send", descriptors.len())));
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::net::sendmsg(&socket, &[IoSlice::new(rest)], &mut attached, SendFlags::NOSIGNAL) {
            Ok(sent) => rest = &rest[sent..],
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        attached.clear();
    }
    Ok(())
}

/// Reads what there is, descriptors included; zero bytes are the end.
pub(super) fn read_with_descriptors(
    socket: impl AsFd,
    buffer: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut attached = RecvAncillaryBuffer::new(&mut space);
    let message =
        rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut attached, RecvFlags::CMSG_CLOEXEC)?;
    for ancillary in attached.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = ancillary {
            descriptors.extend(received);
        }
    }
    Ok(message.bytes)
}

/// Receives what [`send`] sent; nothing if there is no message any more.
pub(super) fn receive<M: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let mut descriptors = Vec::new();
    let mut length = [0; 8];
    match fill(&socket, &mut length, &mut descriptors)? {
        8 => {}
        // Nothing at all, or the one byte that means a kill.
        0 | 1 => return Ok(None),
        _ => return Err(io::ErrorKind::UnexpectedEof.into()),
    }
    let length = usize::try_from(u64::from_le_bytes(length)).map_err(io::Error::other)?;
    if length > LARGEST_MESSAGE {
        return Err(io::Error::other(format!("a message of {length} bytes is no message of ours")));
    }
    let mut body = vec![0; length];
    if fill(&socket, &mut body, &mut descriptors)? != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((serde_json::from_slice(&body)?, descriptors)))
}

/// Reads until `buffer` is full or there is no more; returns how much it was.
fn fill(socket: impl AsFd, buffer: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read_with_descriptors(&socket, &mut buffer[filled..], descriptors) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::waiting::{Lines, scope};

    /// The kernel refuses single arguments above 128 KiB; the socket holds about 200 KiB.
    #[test]
    fn a_command_larger_than_any_buffer_arrives_with_its_descriptors() {
        let long = OsString::from("x".repeat(3 << 20));
        let command = Command {
            argv: vec![Text(long.clone())],
            env: vec![],
            working_directory: Text("/".into()),
            overlays: vec![],
            mounts: vec![],
            limits: ResourceLimits::default(),
        };
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        let received = scope("a large message", |scope| {
            let receiving = scope.spawn(|| receive::<Command>(&theirs).unwrap().unwrap());
            send(&ours, &command, &[writer.as_fd(); 3]).unwrap();
            receiving.join().unwrap()
        });
        drop(writer);
        assert_eq!(received.0.argv[0].0, long);
        let [first, _, _] = <[OwnedFd; 3]>::try_from(received.1).unwrap();
        fs_err::File::from_parts(first.into(), "pipe").write_all(b"through").unwrap();
        assert_eq!(Lines::of("the pipe that came along", reader).rest(), "through");
    }

    #[test]
    fn a_sender_that_dies_half_way_is_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&ours).write_all(&100u64.to_le_bytes()).unwrap();
        (&ours).write_all(b"{").unwrap();
        drop(ours);
        assert_eq!(receive::<Request>(&theirs).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn an_end_or_a_kill_instead_of_a_message_is_no_message() {
        for said in ["", "k"] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            (&ours).write_all(said.as_bytes()).unwrap();
            drop(ours);
            assert!(receive::<Command>(&theirs).unwrap().is_none());
        }
    }
}
