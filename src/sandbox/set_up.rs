//! The steps in which a sandbox is set up, and what can keep one from being made, as data: they come over the sockets
//! of `sandbox-init`, and whoever hears of them decides by them. Words are made where somebody reads them. Knows
//! nothing of how a step is done.

use std::fmt;
use std::io;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::text::Text;

/// A step that failed, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("cannot {step}: {cause}")]
pub struct SetUpFailure {
    pub step: SetUpStep,
    pub cause: SetUpCause,
}

/// What was attempted, in the imperative. Paths are those of the host, but for `inside`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum SetUpStep {
    #[error("find {path:?}, which the command is to see")]
    FindOnHost { path: Text },

    #[error("create namespaces")]
    CreateNamespaces,
    #[error("create the namespaces of a command")]
    CreateNamespacesOfACommand,
    #[error("map the user into a user namespace (write {content:?})")]
    MapUser { content: String },
    #[error("set the host name {name}")]
    SetHostName { name: String },
    #[error("raise the loopback interface")]
    RaiseLoopback,
    #[error("forbid new capabilities")]
    DropBoundingSet,
    #[error("install a filter of system calls")]
    InstallFilter,

    #[error("mount a binfmt_misc of a sandbox's own (possible since Linux 6.7)")]
    MountBinfmtMisc,
    #[error("register {name} as the emulator of a sandbox")]
    RegisterEmulator { name: String },
    #[error("keep a binfmt_misc open")]
    KeepBinfmtMiscOpen,
    #[error("unmount a binfmt_misc")]
    UnmountBinfmtMisc,

    #[error("make mounts private")]
    MakeMountsPrivate,
    #[error("create {inside:?}")]
    Create { inside: Text },
    #[error("create {inside:?}, to mount {host:?} there")]
    CreateMountPoint { inside: Text, host: Text },
    #[error("create {inside:?}, to mount an overlay there")]
    CreateOverlayMountPoint { inside: Text },
    #[error("remove {inside:?}")]
    Remove { inside: Text },
    #[error("make a tmpfs the root")]
    PivotRoot,
    #[error("move into the new root")]
    EnterRoot,
    #[error("return to the root")]
    ReturnToRoot,
    #[error("move the host's root aside")]
    MoveHostRoot,
    #[error("detach the host's root")]
    DetachHostRoot,
    #[error("list the root file system {path:?}")]
    ListRootFileSystem { path: Text },
    #[error("list the new root")]
    ListNewRoot,
    #[error("list what is mounted")]
    ListMounts,
    #[error("show {path:?} without the sockets in it")]
    Sever { path: Text },
    #[error("change the size of {inside:?}")]
    Resize { inside: Text },
    #[error("list the host's /proc")]
    ListHostProc,
    #[error("read the link {path:?}")]
    ReadLink { path: Text },
    #[error("create the link {inside:?}")]
    CreateLink { inside: Text },
    #[error("mount a new {file_system} on {inside:?}")]
    MountNew { file_system: FileSystemType, inside: Text },
    #[error("mount a part of the host on {inside:?}")]
    Bind { inside: Text },
    #[error("protect the mount on {inside:?}")]
    Protect { inside: Text },
    #[error("unmount {inside:?}")]
    Unmount { inside: Text },
    #[error("open {path:?}")]
    Open { path: Text },
    #[error("open {path:?}, a part of an overlay")]
    OpenLayer { path: Text },
    #[error("enter the directory of descriptors")]
    EnterDescriptors,
    #[error("remove the mount points of a command")]
    RemoveMountPoints,

    #[error("tie the supervisor to its parent")]
    TieSupervisor,
    #[error("adopt orphaned processes")]
    AdoptOrphans,
    #[error("fork")]
    Fork,

    #[error("start a session")]
    StartSession,
    #[error("tie the command to its supervisor")]
    TieCommand,
    #[error("stay with the supervisor")]
    StayWithSupervisor,
    #[error("set standard {stream}")]
    SetStream { stream: StandardStream },
    #[error("forbid core files")]
    ForbidCoreFiles,
    #[error("forbid new privileges")]
    ForbidNewPrivileges,
    #[error("drop capabilities")]
    DropCapabilities,
    #[error("change to the working directory {inside:?}")]
    ChangeDirectory { inside: Text },
    #[error("reset signals")]
    ResetSignals,
}

/// Kinds of file systems that are made for a sandbox, as mount(2) names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileSystemType {
    Tmpfs,
    Proc,
    Devpts,
    Overlay,
}

impl FileSystemType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tmpfs => "tmpfs",
            Self::Proc => "proc",
            Self::Devpts => "devpts",
            Self::Overlay => "overlay",
        }
    }
}

impl fmt::Display for FileSystemType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One of the three streams of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StandardStream {
    Input,
    Output,
    Error,
}

impl fmt::Display for StandardStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Error => "error",
        })
    }
}

/// What kept a step from being made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum SetUpCause {
    /// The kernel refused with this error number (errno(3)).
    #[error("{}", io::Error::from_raw_os_error(*.0))]
    Errno(i32),
    /// A link leads out of the root file system that the command is to see.
    #[error("it is not in the root file system")]
    OutsideRoot,
    /// The supervisor has ended before the command was tied to it.
    #[error("it is gone")]
    SupervisorGone,
    /// What has no number, in words.
    #[error("{0}")]
    Other(String),
}

impl From<io::Error> for SetUpCause {
    fn from(error: io::Error) -> Self {
        error.raw_os_error().map_or_else(|| Self::Other(error.to_string()), Self::Errno)
    }
}

impl From<Errno> for SetUpCause {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno.raw_os_error())
    }
}

/// What a sandbox has to do without, as this host refused it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub(super) enum Loss {
    #[error("overlays ({0})")]
    Overlays(SetUpFailure),
    #[error("a private /proc ({0}); the host's is visible, read-only")]
    PrivateProc(SetUpFailure),
    #[error("terminals in /dev/pts ({0})")]
    Terminals(SetUpFailure),
    #[error("a separation from the unix sockets of the host ({0})")]
    Severed(SetUpFailure),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_crosses_the_socket_with_its_number_and_is_put_into_words_here() {
        let inside = Text::from("/execroot/_main");
        let failure = SetUpFailure {
            step: SetUpStep::MountNew { file_system: FileSystemType::Overlay, inside },
            cause: io::Error::from_raw_os_error(libc::EINVAL).into(),
        };
        let wire = serde_json::to_string(&failure).unwrap();
        let arrived: SetUpFailure = serde_json::from_str(&wire).unwrap();
        assert_eq!(arrived, failure);
        assert_eq!(arrived.cause, SetUpCause::Errno(libc::EINVAL));
        assert_eq!(
            arrived.to_string(),
            "cannot mount a new overlay on \"/execroot/_main\": Invalid argument (os error 22)"
        );
        let lost = Loss::Overlays(failure).to_string();
        assert!(lost.starts_with("overlays (cannot mount a new overlay on "), "{lost}");
    }
}
