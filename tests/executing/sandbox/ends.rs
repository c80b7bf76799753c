//! How commands end, and that nothing of them is left.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crosswheel::sandbox::{Outcome, Sandbox, SandboxError};
use rustix::process::{Pid, Signal, kill_process};

use super::running::{CROSSWHEEL, DAEMON, daemon, end_of, full, plain, python, sh};
use crate::support::processes::{processes_with, token};
use crate::support::waiting::{InTime, scope, wait_until};

#[test]
fn exit_codes_and_signals_are_reported() {
    for sandbox in [full(), plain()] {
        for code in [0, 1, 127, 255] {
            let (exit, _) = sh(&format!("exit {code}")).run(&sandbox);
            assert_eq!(exit.outcome, Outcome::Code(code));
            assert!(!exit.killed && !exit.timed_out);
        }
        // The last one is a real-time signal, which has no name.
        for signal in [2, 6, 9, 11, 15, 40] {
            let (exit, _) = sh(&format!("kill -{signal} $$; sleep 1000")).run(&sandbox);
            assert_eq!(exit.outcome, Outcome::Signal(signal));
            assert!(!exit.killed && !exit.timed_out);
        }
    }
}

#[test]
fn at_the_deadline_the_tree_dies_and_the_log_so_far_is_kept() {
    for sandbox in [full(), plain()] {
        let token = token();
        let mut running = daemon("time.sleep(1000)", &token).start(&sandbox).unwrap();
        assert_eq!(running.line(), "ready");
        assert_eq!(processes_with(&token).len(), 2, "the command and its daemon");
        let exit = running.tree.wait(Some(Instant::now() + Duration::from_millis(50))).unwrap();
        assert_eq!(processes_with(&token).len(), 0);
        assert!(exit.timed_out && exit.killed);
        assert_eq!(exit.outcome, Outcome::Signal(9));
    }
}

#[test]
fn what_was_written_before_a_kill_can_still_be_read() {
    for sandbox in [full(), plain()] {
        let script = "echo first; echo second; echo third >&2; sleep 1000 & sleep 1000";
        let mut running = sh(script).start(&sandbox).unwrap();
        assert_eq!(running.line(), "first");
        assert_eq!(running.line(), "second");
        assert_eq!(running.line(), "third");
        let exit = running.tree.wait(Some(Instant::now())).unwrap();
        assert!(exit.timed_out);
        let rest = running.output.rest();
        assert_eq!(rest, "", "the pipe is closed by everybody");
    }
}

#[test]
fn a_daemon_does_not_outlive_its_command() {
    for sandbox in [full(), plain()] {
        let token = token();
        let (exit, output) = daemon("sys.exit(3)", &token).run(&sandbox);
        assert_eq!(processes_with(&token).len(), 0);
        assert_eq!(output, "ready\n");
        assert_eq!(exit.outcome, Outcome::Code(3));
        assert!(!exit.killed);
    }
}

#[test]
fn a_killer_kills_from_another_thread_and_is_harmless_later() {
    for sandbox in [full(), plain()] {
        let token = token();
        let mut running = daemon("time.sleep(1000)", &token).start(&sandbox).unwrap();
        assert_eq!(running.line(), "ready");
        let killer = running.tree.killer();
        let exit = scope("a command that is killed", |scope| {
            let waiting = scope.spawn(|| end_of(running.tree).unwrap());
            killer.clone().kill();
            waiting.join().unwrap()
        });
        assert_eq!(processes_with(&token).len(), 0);
        assert!(exit.killed && !exit.timed_out);
        assert_eq!(exit.outcome, Outcome::Signal(9));
        killer.kill();
    }
}

#[test]
fn a_tree_that_is_dropped_is_dead_even_if_a_killer_is_kept() {
    for sandbox in [full(), plain()] {
        let token = token();
        let mut running = daemon("time.sleep(1000)", &token).start(&sandbox).unwrap();
        assert_eq!(running.line(), "ready");
        let killer = running.tree.killer();
        drop(running);
        assert_eq!(processes_with(&token).len(), 0);
        drop(killer);
    }
}

fn wait_until_gone(token: &str) {
    wait_until("all processes to be gone", || processes_with(token).is_empty());
}

/// `kill -9` leaves us no time to do anything about our children.
#[test]
fn nothing_survives_a_parent_that_is_killed() {
    for mode in ["required", "off"] {
        let token = token();
        let mut parent = Command::new(CROSSWHEEL)
            .args(["sandbox-run", "--sandbox", mode, "--", "python3", "-c"])
            .arg(format!("{DAEMON}time.sleep(1000)"))
            .arg(&token)
            .stdout(Stdio::piped())
            .start();
        let line = parent.stdout().next().unwrap_or_default();
        assert_eq!(line, "ready", "this test needs a host that allows namespaces");
        assert_eq!(processes_with(&token).len(), 3, "the parent, the command and its daemon");
        parent.kill();
        wait_until_gone(&token);
    }
}

/// `PR_SET_PDEATHSIG`, the obvious way to die with a parent, means the thread and not the process.
#[test]
fn a_tree_outlives_the_thread_that_started_it() {
    for sandbox in [full(), plain()] {
        let (stdin, mut answer) = std::io::pipe().unwrap();
        let prepared = sh("read answer; echo $answer").with(|spec| spec.stdin = Some(stdin.into()));
        let mut running = scope("a command to start", |scope| {
            scope.spawn(|| prepared.start(&sandbox).unwrap()).join().unwrap()
        });
        answer.write_all(b"alive\n").unwrap();
        assert_eq!(running.output.rest(), "alive\n");
        assert_eq!(end_of(running.tree).unwrap().outcome, Outcome::Code(0));
    }
}

/// Otherwise the end of one command's output would not be seen before the end of another command.
#[test]
fn commands_that_run_at_the_same_time_hold_nothing_of_each_other() {
    for sandbox in [full(), plain()] {
        let (stdin, answer) = std::io::pipe().unwrap();
        let long = sh("read answer").with(|spec| spec.stdin = Some(stdin.into())).start(&sandbox).unwrap();
        scope("short commands", |scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        assert_eq!(sh("echo short").output(&sandbox), "short\n");
                    }
                });
            }
        });
        drop(answer);
        assert_eq!(end_of(long.tree).unwrap().outcome, Outcome::Code(1));
    }
}

#[test]
fn a_command_cannot_send_its_supervisor_away() {
    for sandbox in [full(), plain()] {
        let script =
            "for signal in HUP INT QUIT TERM USR1 PIPE ALRM; do kill -$signal $PPID; done; echo done";
        assert_eq!(sh(script).output(&sandbox), "done\n");
    }
}

/// The kernel's out-of-memory killer may pick the init. With namespaces, the rest goes with it.
#[test]
fn an_init_that_is_killed_takes_the_tree_along_and_is_an_error() {
    let token = token();
    let mut running = daemon("time.sleep(1000)", &token).start(&full()).unwrap();
    assert_eq!(running.line(), "ready");
    let command = fs_err::read_to_string(processes_with(&token)[0].join("status")).unwrap();
    let parent = |status: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
        line.trim().parse::<i32>().unwrap()
    };
    let process_one = parent(&command);
    let init = parent(&fs_err::read_to_string(format!("/proc/{process_one}/status")).unwrap());
    kill_process(Pid::from_raw(init).unwrap(), Signal::KILL).unwrap();
    let error = end_of(running.tree).unwrap_err();
    assert!(matches!(error, SandboxError::InitDied { .. }), "{error}");
    wait_until_gone(&token);
}

fn survivors_of_a_storm(sandbox: &Sandbox, storm: &str) -> usize {
    let token = token();
    let mut running = python(storm, &token).start(sandbox).unwrap();
    assert_eq!(running.line(), "raging");
    running.tree.wait(Some(Instant::now() + Duration::from_millis(100))).unwrap();
    processes_with(&token).len()
}

/// Grows to 300 processes in as many sessions.
const BROAD_STORM: &str = "
import os, time
tokens, give = os.pipe()
os.write(give, b'.' * 300)
print('raging', flush=True)
while os.read(tokens, 1):
    if os.fork() == 0:
        os.setsid()
";

/// Fifty lines of processes, each of which lives only long enough to make the next.
const FAST_STORM: &str = "
import os, time
for line in range(50):
    if os.fork() == 0:
        while True:
            if os.fork() != 0: os._exit(0)
print('raging', flush=True)
time.sleep(1000)
";

#[test]
fn a_broad_fork_storm_dies() {
    for sandbox in [full(), plain()] {
        assert_eq!(survivors_of_a_storm(&sandbox, BROAD_STORM), 0);
    }
}

#[test]
fn a_fast_fork_storm_dies() {
    for sandbox in [full(), plain()] {
        assert_eq!(survivors_of_a_storm(&sandbox, FAST_STORM), 0);
    }
}

/// Ever new sessions escape whoever looks for processes one by one, but not the end of a pid namespace.
#[test]
fn a_fast_fork_storm_in_ever_new_sessions_dies() {
    let storm = FAST_STORM.replace("os._exit(0)", "os._exit(0)\n            os.setsid()");
    assert_ne!(storm, FAST_STORM);
    assert_eq!(survivors_of_a_storm(&full(), &storm), 0);
}

#[test]
fn the_memory_of_a_grandchild_counts() {
    let program = "
import subprocess, sys
subprocess.run(['sh', '-c', '''python3 -c \"bytearray(b'x' * (200 << 20))\"; true'''], check=True)
";
    for sandbox in [full(), plain()] {
        let (exit, output) = python(program, "").run(&sandbox);
        assert_eq!(exit.outcome, Outcome::Code(0), "{output}");
        assert!(exit.peak_memory_bytes >= 200 << 20, "{}", exit.peak_memory_bytes);
        assert!(exit.peak_memory_bytes < 1000 << 20, "{}", exit.peak_memory_bytes);
        assert!(exit.user_time > Duration::ZERO);
    }
}

#[test]
fn the_memory_of_all_processes_is_added_up() {
    let program = "
import os, time
held, release = os.pipe()
full, tell = os.pipe()
for child in range(4):
    if os.fork() == 0:
        memory = bytearray(b'x' * (50 << 20))
        os.write(tell, b'.')
        os.read(held, 1)
        os._exit(0)
for child in range(4):
    os.read(full, 1)
time.sleep(1)
";
    for sandbox in [full(), plain()] {
        let (exit, output) = python(program, "").run(&sandbox);
        assert_eq!(exit.outcome, Outcome::Code(0), "{output}");
        assert!(exit.peak_memory_bytes >= 200 << 20, "{}", exit.peak_memory_bytes);
    }
}

#[test]
fn processor_time_of_all_processes_is_added_up() {
    let program = "
import os, time
for child in range(2):
    if os.fork() == 0:
        while time.process_time() < 0.2: pass
        os._exit(0)
os.wait()
os.wait()
";
    for sandbox in [full(), plain()] {
        let (exit, _) = python(program, "").run(&sandbox);
        assert!(exit.user_time + exit.system_time >= Duration::from_millis(400), "{exit:?}");
    }
}
