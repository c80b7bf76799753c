//! The attacks, tried from inside of a sandbox. Knows nothing of what should come of them.

use std::fs::{OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

use super::scene::{Targets, own_pid_namespace};
use crate::sandbox::enter_cgroup_namespace;

/// What an attacker is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Attack {
    /// Try everything once, say what got through, and leave a process behind.
    Everything(Targets),
    /// Take memory.
    Memory,
    /// Take memory in `/tmp`, which must be the command's own.
    Directory,
    /// Make threads.
    Threads,
    /// Do nothing, for a long time.
    Linger,
}

/// What can be had of the host, if a sandbox does not keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Prize {
    WriteFiles,
    SeeStore,
    ConnectUnixSocket,
    ConnectLoopback,
    LeaveNetwork,
    SignalProcess,
    LockFile,
    OpenDisk,
    HavePrivileges,
    MakeCgroupNamespace,
}

/// Does what a JSON document on standard input asks for ([`Attack`]).
pub fn attack() -> ExitCode {
    let mut text = String::new();
    let asked = io::stdin().read_to_string(&mut text).ok().and_then(|_| serde_json::from_str(&text).ok());
    match asked {
        Some(Attack::Everything(targets)) => {
            let got = everything(&targets);
            // Whoever started us reads it; if nobody does, there is nobody to tell.
            let _ = io::stdout().write_all(&serde_json::to_vec(&got).unwrap_or_default());
            linger_behind();
        }
        Some(Attack::Memory) => fill_memory(),
        Some(Attack::Directory) => fill_directory(),
        Some(Attack::Threads) => make_threads(),
        Some(Attack::Linger) => std::thread::sleep(Duration::from_secs(3600)),
        None => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}

/// What got through, and how.
fn everything(targets: &Targets) -> Vec<(Prize, String)> {
    let mut got = Vec::new();
    let mut note = |prize, how: Option<String>| got.extend(how.map(|how| (prize, how)));
    note(Prize::WriteFiles, write_files(targets));
    note(Prize::SeeStore, see(&targets.store));
    let connected = UnixStream::connect(&targets.socket).ok();
    note(Prize::ConnectUnixSocket, connected.map(|_| format!("connected to {:?}", targets.socket)));
    let connected =
        TcpStream::connect_timeout(&([127, 0, 0, 1], targets.port).into(), Duration::from_secs(5));
    note(Prize::ConnectLoopback, connected.ok().map(|_| format!("connected to port {}", targets.port)));
    note(Prize::LeaveNetwork, leave_network());
    note(Prize::SignalProcess, signal(targets));
    note(Prize::LockFile, lock(targets));
    note(Prize::OpenDisk, open_disk());
    note(Prize::HavePrivileges, privileges());
    // Last, as this process is another one then.
    note(Prize::MakeCgroupNamespace, enter_cgroup_namespace().ok().map(|()| "made one".to_owned()));
    got
}

/// In another pid namespace the number is that of another process, which may well be there: the first process of a
/// container has that of the first process of a sandbox in it.
fn signal(targets: &Targets) -> Option<String> {
    let elsewhere = own_pid_namespace().zip(targets.pid_namespace.as_ref());
    if elsewhere.is_some_and(|(own, of_process)| own != *of_process) {
        return None;
    }
    let process = Pid::from_raw(targets.process).filter(|process| test_kill_process(*process).is_ok());
    process.map(|process| format!("may signal process {process:?}"))
}

fn write_files(targets: &Targets) -> Option<String> {
    let own = [targets.file.clone(), targets.directory.join("new")];
    let of_system =
        ["/etc/passwd", "/usr/crosswheel-new", "/crosswheel-new", "/proc/sys/kernel/core_pattern"];
    let mut places = own.into_iter().chain(of_system.map(Into::into));
    let place = places.find(|place| OpenOptions::new().create(true).append(true).open(place).is_ok());
    place.map(|place| format!("could write to {place:?}"))
}

fn see(store: &Path) -> Option<String> {
    let entry = fs_err::read_dir(store).ok()?.next()?.ok()?;
    Some(format!("saw {:?}", entry.path()))
}

fn leave_network() -> Option<String> {
    // AF_VSOCK, AF_BLUETOOTH, AF_ALG, AF_QIPCRTR, AF_PACKET.
    let mut families = [40, 31, 38, 42, 17].into_iter();
    let family = families.find(|family| {
        let family = AddressFamily::from_raw(*family);
        let kinds = [SocketType::STREAM, SocketType::DGRAM, SocketType::SEQPACKET, SocketType::RAW];
        kinds.iter().any(|kind| socket_with(family, *kind, SocketFlags::CLOEXEC, None).is_ok())
    });
    family.map(|family| format!("made a socket of the family {family}"))
}

/// Whether a lock of ours is one for the host is for the host to see; here it is whether there is one at all.
fn lock(targets: &Targets) -> Option<String> {
    let file = OpenOptions::new().read(true).open(&targets.file).ok()?;
    match file.try_lock() {
        // The host holds one, and we are kept waiting for it: it is the same lock.
        Err(TryLockError::WouldBlock) => Some(format!("feels the lock on {:?}", targets.file)),
        _ => None,
    }
}

fn open_disk() -> Option<String> {
    let mut devices = fs_err::read_dir("/dev").ok()?.flatten();
    let disk = devices.find(|entry| entry.file_type().is_ok_and(|kind| kind.is_block_device()))?;
    Some(format!("found {:?}", disk.path()))
}

fn privileges() -> Option<String> {
    let sets = rustix::thread::capabilities(None).ok()?;
    if !(sets.effective | sets.permitted | sets.inheritable).is_empty() {
        return Some(format!("has capabilities: {:?}", sets.permitted));
    }
    let may_gain = rustix::thread::no_new_privs().is_ok_and(|forbidden| !forbidden);
    may_gain.then(|| "may gain privileges by executing a program".to_owned())
}

/// Starts a process that holds our standard output, and would for an hour.
fn linger_behind() {
    let Ok(own) = std::env::current_exe() else { return };
    let started = Command::new(own).args(["doctor", "--attack"]).stdin(Stdio::piped()).spawn();
    if let Ok(mut child) = started
        && let Some(mut input) = child.stdin.take()
    {
        let _ = input.write_all(&serde_json::to_vec(&Attack::Linger).unwrap_or_default());
    }
}

/// Takes up to half a gigabyte: where nothing holds it, it must not do what it is to prove impossible.
fn fill_memory() {
    const MOST: usize = 512;
    let block = vec![1; 1 << 20];
    let mut held = Vec::new();
    // As slowly as who measures can see.
    for _ in 0..MOST {
        held.push(block.clone());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// As [`fill_memory`], in a directory in memory. It must not be run where that directory is the host's.
fn fill_directory() {
    const MOST: usize = 512;
    let Ok(mut file) = fs_err::File::create("/tmp/full") else { return };
    let block = vec![1; 1 << 20];
    for _ in 0..MOST {
        if file.write_all(&block).is_err() {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

fn make_threads() {
    for _ in 0..1000 {
        let _ = std::thread::Builder::new().spawn(|| std::thread::sleep(Duration::from_secs(600)));
    }
    std::thread::sleep(Duration::from_secs(60));
}
