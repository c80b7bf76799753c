//! Many commands in processes that stand ready for them. That one command cannot reach another that runs at the same
//! time is in `hostile`; here it is about those that come one after another, and about what happens to the processes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crosswheel::contract::SandboxMode;
use crosswheel::sandbox::{Bind, Outcome, ProgramFault, Sandbox, SandboxError, Spawner};
use rustix::process::{Pid, Signal, kill_process};

use super::running::{
    CROSSWHEEL, DAEMON, again, again_as_nobody, alone, command, end_of, full, plain, python, sh,
};
use crate::support::processes::{processes_with, token};
use crate::support::waiting::{InTime, LONG_DEADLINE, pause, scope, wait_until};

/// A spawner whose processes can be told from those of other tests.
struct Own {
    spawner: Spawner,
    init: PathBuf,
    _directory: tempfile::TempDir,
}

fn own(mode: SandboxMode) -> Own {
    let directory = tempfile::tempdir().unwrap();
    let init = directory.path().join("crosswheel");
    fs_err::os::unix::fs::symlink(CROSSWHEEL, &init).unwrap();
    let sandbox = Sandbox::detect(mode, init.clone().into()).unwrap();
    Own { spawner: Spawner::start(&sandbox).unwrap(), init, _directory: directory }
}

impl Own {
    /// Its processes: two for each zygote.
    fn processes(&self) -> Vec<Pid> {
        let processes = processes_with(self.init.to_str().unwrap());
        processes.iter().map(|process| pid(process)).collect()
    }
}

fn pid(process: &Path) -> Pid {
    Pid::from_raw(process.file_name().unwrap().to_str().unwrap().parse().unwrap()).unwrap()
}

#[test]
fn processes_are_used_again_and_end_with_the_spawner() {
    for mode in [SandboxMode::Required, SandboxMode::Off] {
        let own = own(mode);
        for _ in 0..20 {
            sh("true").output(&own.spawner);
        }
        assert!(own.processes().len() <= 4, "{:?}", own.processes());
        let init = own.init.clone();
        drop(own.spawner);
        assert_eq!(processes_with(init.to_str().unwrap()).len(), 0);
    }
}

#[test]
fn a_command_finds_nothing_that_an_earlier_one_left() {
    let (add_key, keyctl) = (libc::SYS_add_key, libc::SYS_keyctl);
    let program = format!(
        "
import ctypes, os, socket, sys
c = ctypes.CDLL(None, use_errno=True)
found = []
for place in ['/tmp', '/var/tmp', '/run', '/dev/shm']:
    if os.path.exists(place + '/left'): found.append(place)
for place in ['/tmp', '/var/tmp', '/dev/shm']:
    open(place + '/left', 'w')
if c.shmget(0x5eed, 4096, 0o600) != -1: found.append('shared memory')
assert c.shmget(0x5eed, 4096, 0o1600) != -1
for ring in [-3, -4]:
    if c.syscall({keyctl}, 10, ring, b'user', b'left', 0) != -1: found.append('key')
    c.syscall({add_key}, b'user', b'left', b'payload', 7, ring)
# The end of a connection keeps the port of whoever closes first, if only for a minute.
server = socket.socket()
try: server.bind(('127.0.0.1', 18080))
except OSError: found.append('port')
else:
    server.listen()
    client = socket.create_connection(('127.0.0.1', 18080))
    accepted, _ = server.accept()
    accepted.close(); client.recv(1); client.close()
abstract = socket.socket(socket.AF_UNIX)
try: abstract.bind('\\0left')
except OSError: found.append('abstract socket')
if len(sys.argv) > 2: assert os.path.isdir(sys.argv[2])
if os.path.exists('/crosswheel') and len(sys.argv) < 3: found.append('mount point')
print(found)
"
    );
    let spawner = Spawner::start(&full()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    // Two processes take turns, so each runs several of these.
    for _ in 0..3 {
        for with_place in [true, false, false] {
            let mut prepared = python(&program, "-");
            if with_place {
                prepared = prepared.with(|spec| {
                    spec.argv.push("/crosswheel/deep/place".into());
                    let (host, inside) = (directory.path().into(), "/crosswheel/deep/place".into());
                    spec.binds.push(Bind { host, inside, writable: true });
                });
            }
            assert_eq!(prepared.output(&spawner), "[]\n");
        }
    }
}

#[test]
fn two_hundred_commands_run_at_the_same_time() {
    if !alone() {
        return;
    }
    for sandbox in [full(), plain()] {
        let spawner = Spawner::start(&sandbox).unwrap();
        let (gate, release) = std::io::pipe().unwrap();
        let outputs: Vec<String> = scope("two hundred commands", |scope| {
            let (started, starts) = std::sync::mpsc::channel();
            let threads: Vec<_> = (0..200)
                .map(|number| {
                    let (spawner, gate, started) = (&spawner, gate.try_clone().unwrap(), started.clone());
                    scope.spawn(move || {
                        let mut running = sh(&format!("read line; echo {number}"))
                            .with(|spec| spec.stdin = Some(gate.into()))
                            .start(spawner)
                            .unwrap();
                        started.send(()).unwrap();
                        drop(started);
                        let output = running.output.rest();
                        assert_eq!(end_of(running.tree).unwrap().outcome, Outcome::Code(0));
                        output
                    })
                })
                .collect();
            drop((started, gate));
            // All of them run before any of them may end.
            assert_eq!(starts.iter().count(), 200);
            drop(release);
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(outputs.iter().enumerate().all(|(number, output)| *output == format!("{number}\n")));
    }
}

#[test]
fn a_refused_command_does_not_harm_the_next() {
    for mode in [SandboxMode::Required, SandboxMode::Off] {
        let own = own(mode);
        for _ in 0..5 {
            let error = command(["/no/such/program"]).start(&own.spawner).err().unwrap();
            assert!(matches!(error, SandboxError::Program { fault: ProgramFault::NotFound, .. }), "{error}");
            let error = sh("true")
                .with(|spec| spec.working_directory = "/no/such/directory".into())
                .start(&own.spawner)
                .err()
                .unwrap();
            assert!(matches!(error, SandboxError::SetUp(_)), "{error}");
            assert_eq!(sh("echo fine").output(&own.spawner), "fine\n");
        }
        assert!(own.processes().len() <= 4, "{:?}", own.processes());
    }
}

/// By the kernel, short of memory, or by an operator.
#[test]
fn processes_that_are_killed_are_replaced() {
    for mode in [SandboxMode::Required, SandboxMode::Off] {
        let own = own(mode);
        for _ in 0..3 {
            sh("true").output(&own.spawner);
        }
        let processes = own.processes();
        for process in &processes {
            // The second of a pair may have died with the first.
            let _ = kill_process(*process, Signal::KILL);
        }
        wait_until("killed processes to end", || !processes.iter().any(|process| is_alive(*process)));
        assert_eq!(sh("echo again").output(&own.spawner), "again\n");
    }
}

#[test]
fn a_process_that_is_killed_under_a_command_is_an_error_and_is_replaced() {
    let own = own(SandboxMode::Required);
    let token = token();
    let mut running = python(&format!("{DAEMON}time.sleep(1000)"), &token).start(&own.spawner).unwrap();
    assert_eq!(running.line(), "ready");
    for process in own.processes() {
        let _ = kill_process(process, Signal::KILL);
    }
    let error = end_of(running.tree).unwrap_err();
    assert!(matches!(error, SandboxError::InitDied { .. }), "{error}");
    wait_until("the command to die with its zygote", || processes_with(&token).is_empty());
    assert_eq!(sh("echo again").output(&own.spawner), "again\n");
}

/// `kill -9` leaves no time to do anything about children.
#[test]
fn nothing_survives_an_owner_that_is_killed() {
    const TOKEN: &str = "CROSSWHEEL_TEST_TOKEN";
    if let Some(token) = std::env::var_os(TOKEN) {
        let spawners = [full(), plain()].map(|sandbox| Spawner::start(&sandbox).unwrap());
        // So that there are idle ones.
        spawners.iter().for_each(|spawner| drop(sh("true").output(spawner)));
        let mut trees = Vec::new();
        for spawner in spawners.iter().cycle().take(10) {
            let daemon = python(&format!("{DAEMON}time.sleep(1000)"), token.to_str().unwrap());
            let mut running = daemon.start(spawner).unwrap();
            assert_eq!(running.line(), "ready");
            trees.push(running);
        }
        println!("all started");
        // It is killed long before.
        pause(LONG_DEADLINE);
        return;
    }
    let token = token();
    let mut owner =
        again(&std::env::current_exe().unwrap()).env(TOKEN, &token).stdout(Stdio::piped()).start();
    owner.stdout().until("all started");
    assert_eq!(processes_with(&token).len(), 20, "ten commands and their daemons");
    let inits = children_of(owner.id());
    assert!(inits.len() >= 12, "{inits:?}");
    owner.kill();
    wait_until("all that a killed owner had started to end", || {
        processes_with(&token).is_empty() && !inits.iter().any(|init| is_alive(*init))
    });
}

fn children_of(parent: u32) -> Vec<Pid> {
    let processes = fs_err::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let wanted = format!("\nPPid:\t{parent}\n");
    processes
        .filter(|process| {
            fs_err::read_to_string(process.join("status")).is_ok_and(|status| status.contains(&wanted))
        })
        .map(|process| pid(&process))
        .collect()
}

/// One that has ended and that nobody has waited for is not.
fn is_alive(process: Pid) -> bool {
    fs_err::read_to_string(format!("/proc/{}/status", process.as_raw_pid()))
        .is_ok_and(|status| !status.contains("State:\tZ"))
}

#[test]
fn a_killed_command_leaves_its_process_to_the_next() {
    let own = own(SandboxMode::Required);
    for _ in 0..5 {
        let running = sh("sleep 1000").start(&own.spawner).unwrap();
        running.tree.killer().kill();
        let exit = end_of(running.tree).unwrap();
        assert!(exit.killed && !exit.timed_out);
        drop(sh("sleep 1000").start(&own.spawner).unwrap());
    }
    assert!(own.processes().len() <= 4, "{:?}", own.processes());
}

/// The usage of one command is not added to that of the next.
#[test]
fn every_command_is_measured_on_its_own() {
    for sandbox in [full(), plain()] {
        let spawner = Spawner::start(&sandbox).unwrap();
        let big = "data = bytearray(200 << 20)\nfor _ in range(3000000): pass";
        for _ in 0..2 {
            let (big, _) = python(big, "").run(&spawner);
            assert!(big.peak_memory_bytes > 200 << 20);
            let (small, _) = sh("true").run(&spawner);
            assert!(small.peak_memory_bytes < 100 << 20, "{}", small.peak_memory_bytes);
            assert!(small.user_time < big.user_time, "{:?} {:?}", small.user_time, big.user_time);
        }
    }
}

#[test]
fn an_unprivileged_user_can_have_a_spawner() {
    let spawner = Spawner::start(&full()).unwrap();
    for _ in 0..4 {
        assert_eq!(sh("id -u; touch /usr/x 2>/dev/null || echo refused").output(&spawner), "1000\nrefused\n");
    }
    again_as_nobody();
}

/// A long life must not mean a large process: what a command's arguments took is given back.
#[test]
fn a_process_does_not_grow_with_the_commands_it_has_run() {
    let own = own(SandboxMode::Required);
    let resident = || {
        let pages = |process: &Pid| {
            let statm = fs_err::read_to_string(format!("/proc/{}/statm", process.as_raw_pid())).unwrap();
            statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
        };
        own.processes().iter().map(pages).max().unwrap()
    };
    let run = |times: usize| {
        for _ in 0..times {
            let large = "x".repeat(100_000);
            command(["/bin/true"])
                .with(|spec| drop(spec.env.insert("X".into(), large.into())))
                .output(&own.spawner);
        }
    };
    run(20);
    let before = resident();
    run(200);
    // Losing one copy of the variable each time would be 20 MB.
    assert!(resident() < before + (4 << 20) / 4096, "{before} pages, then {}", resident());
}

/// A pipe whose writers are gone must end, whoever else is being started.
#[test]
fn standard_streams_are_closed_when_the_command_has_closed_them() {
    let spawner = Spawner::start(&full()).unwrap();
    for _ in 0..3 {
        let (stdin, release) = std::io::pipe().unwrap();
        let mut running = sh("exec >/dev/null 2>&1; read line")
            .with(|spec| spec.stdin = Some(stdin.into()))
            .start(&spawner)
            .unwrap();
        // Ends while the command still runs.
        assert_eq!(running.output.rest(), "");
        drop(File::from(std::os::fd::OwnedFd::from(release)));
        end_of(running.tree).unwrap();
    }
}
