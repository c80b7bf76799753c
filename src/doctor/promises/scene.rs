//! What there is to be attacked: files, sockets, a store. Knows nothing of the attacks.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::scratch::home::LockedHome;

/// Where the attacker finds what it is to attack. It is told everything: secrecy is no protection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Targets {
    /// A directory of the host that commands see, read-only.
    pub directory: PathBuf,
    /// A file in it.
    pub file: PathBuf,
    /// A directory in it that is hidden from commands, with a file in it.
    pub store: PathBuf,
    /// A socket in it that somebody listens to.
    pub socket: PathBuf,
    /// A port of the host's loopback interface that somebody listens to.
    pub port: u16,
    /// A process of the host.
    pub process: i32,
    /// Where that number means that process.
    pub pid_namespace: Option<PathBuf>,
}

/// The pid namespace of this process, by the name that the kernel has for it.
pub(super) fn own_pid_namespace() -> Option<PathBuf> {
    fs_err::read_link("/proc/self/ns/pid").ok()
}

/// All of it, for as long as this lives.
#[derive(Debug)]
pub(super) struct Scene {
    pub targets: Targets,
    _unix: UnixListener,
    _tcp: TcpListener,
    _home: LockedHome,
}

impl Scene {
    /// Made in `cache`, which is best a directory that commands see: where they have an empty one of their own, less is
    /// proven.
    pub fn build(cache: &Path) -> io::Result<Self> {
        const PREFIX: &str = "promises-";
        fs_err::create_dir_all(cache)?;
        LockedHome::sweep(cache, PREFIX)?;
        let home = LockedHome::create(cache, PREFIX, 0o755)?;
        let directory = fs_err::canonicalize(home.path())?;
        let [file, store, socket] = ["file", "store", "socket"].map(|name| directory.join(name));
        fs_err::write(&file, "of the host")?;
        fs_err::create_dir(&store)?;
        fs_err::write(store.join("blob"), "of another")?;
        let unix = UnixListener::bind(&socket)?;
        let tcp = TcpListener::bind(("127.0.0.1", 0))?;
        let port = tcp.local_addr()?.port();
        let process = rustix::process::getpid().as_raw_pid();
        let pid_namespace = own_pid_namespace();
        let targets = Targets { directory, file, store, socket, port, process, pid_namespace };
        Ok(Self { targets, _unix: unix, _tcp: tcp, _home: home })
    }
}
