//! Process trees that cannot outlive us, cut off from the host as far as the host allows. Knows nothing of
//! Python, sdists or actions. The only room with `unsafe` code.
//!
//! [`Sandbox::detect`] tries what this host allows; [`Sandbox::spawn`] starts a command in it. Most of the time
//! that takes goes into what is the same for every command, so [`Sandbox::prepare`] keeps what was tried, for one
//! command to run in, and a [`Spawner`] keeps as much as it can for all the commands that follow.
//!
//! ```text
//! with namespaces                                    without
//!
//! we                                                 we
//!  └ sandbox-init, a zygote:                          └ sandbox-init, a zygote
//!    owns the user, network and host name                └ supervisor: adopts orphans, reaps, kills
//!     └ supervisor, process 1 of new mount,                 └ the command: own session, no new
//!       pid and ipc namespaces: reaps, kills                  privileges, a filter against sockets
//!        └ the command: own session, nobody special
//! ```
//!
//! A zygote, as Android and Chromium call a process that is kept ready to start others, has one supervisor at a time, and that one command. It makes the next supervisor when the last one has
//! ended, so that a zygote that is idle has done nearly all there is to do: what is left are the command's own
//! mounts and its execution. We hand a command to its supervisor over the zygote's socket, and with it a socket
//! for this command alone, over which we talk until it has ended.
//!
//! Why a second executable image and not a fork of ours: the callers have threads, and what may run between a
//! fork and an exec of a process with threads is next to nothing. `sandbox-init` has one thread, so it can
//! clone into namespaces, mount and parse in ordinary Rust. Within it no memory is copied either: supervisor and
//! command are started as by vfork, which for processes that wait for each other is the same, and cheaper.
//!
//! **The tree dies with us**, whatever kills us: the control socket is a lifeline. When our end closes,
//! everything behind it is killed. `PR_SET_PDEATHSIG` on the zygote would not do: it fires when the *thread*
//! that spawned it ends. Within the tree, where every parent has one thread, it is used as a second line.
//!
//! **With namespaces** (user, mount, pid, ipc, uts, net; root is not needed) the command sees the host's file
//! system, or parts of it, or another one, read-only, its own writable directories at fixed paths, an empty `/tmp`, `/var/tmp` and `/run`, a
//! `/proc` with its own processes only, a handful of devices, a loopback interface and nothing else. It runs
//! as uid 1000 (which is the caller outside) without capabilities, and makes no sockets that know no namespaces. Directories
//! that are not the system's are shown through overlays, so that sockets and locks in them are not the host's. What it does
//! *not* prevent: reading whatever the caller can read.
//!
//! **Programs of another architecture** run in a root that names an emulator ([`RootFileSystem::Emulated`]): the
//! zygote registers it with a binfmt_misc of its own. All that sets up a sandbox stays native.
//!
//! **Without** there are no fixed paths and no protection of the host's files beyond their permissions; it
//! guards against accidents, not against malice. Daemons are found and killed, and sockets other than unix
//! and netlink ones are refused by a seccomp filter.
//!
//! Control groups bound what commands take where this process may make some (`control_group.rs`); everywhere the
//! supervisor measures its tree. They are not used to kill: a pid namespace does that as reliably, and is always there.

mod control_group;
mod error;
mod exit;
mod init;
mod isolation;
mod limits;
mod message;
mod own_executable;
mod report_reader;
mod set_up;
mod spawner;
mod spec;
mod text;
mod tree;
mod view;
mod zygote;
mod zygote_pool;

pub use error::{ProgramFault, SandboxError};
pub use exit::{Exit, Outcome};
pub use init::run as run_init;
pub(crate) use init::{enter_cgroup_namespace, enter_user_and_mount_namespaces};
pub use isolation::{Isolation, KernelLimits, NetworkIsolation, PreparedSandbox, Sandbox};
pub use limits::{MetLimit, ResourceLimits};
pub use own_executable::{LIBRARY_PATH_OPTION, OwnExecutable};
pub use set_up::{FileSystemType, SetUpCause, SetUpFailure, SetUpStep};
pub use spawner::Spawner;
pub use spec::{Bind, Overlay, RootFileSystem, Spec};
pub use tree::{Killer, ProcessTree};
