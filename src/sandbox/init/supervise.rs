//! Watches over a running command, measures its tree, and lets none of it outlive the command or us.
//! Knows nothing of how it was started.

use std::collections::HashSet;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpgrp, kill_process, kill_process_group, pidfd_open,
    pidfd_send_signal,
};

use super::census::{self, Process};
use super::meter::{Meter, SAMPLING_INTERVAL};
use super::system::{self, ChildEnds, ChildrenUsage};
use crate::sandbox::exit::Outcome;
use crate::sandbox::message::Report;

/// How the processes of the tree are found when they have to die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Realm {
    /// Everybody in the pid namespace in which we are process 1.
    PidNamespace,
    /// Whoever descends from us, who adopt all orphans.
    Descendants,
}

/// Waits until `main` has ended, until it is to be killed, or until it takes more than `meter` allows; then kills what is left.
/// All signals must be blocked. `own_pid` is our number in `/proc`.
pub(super) fn supervise(
    control: &UnixStream,
    main: Pid,
    realm: Realm,
    mut meter: Meter,
    own_pid: Pid,
) -> io::Result<Report> {
    let mut tree = Tree { main, realm, own_pid, outcome: None };
    let killed = tree.watch(control, &mut meter)?;
    if tree.outcome != Some(Outcome::Code(0)) {
        meter.look_for_full_directories();
    }
    tree.kill()?;
    let usage = ChildrenUsage::so_far()?;
    Ok(Report::Finished {
        outcome: tree.outcome.ok_or_else(|| io::Error::other("the command ended and left no status"))?,
        killed,
        met: meter.met(),
        // Ours when we forked counts for the largest, which is a few MB.
        peak_memory_bytes: meter.peak_bytes().max(usage.largest),
        user_microseconds: u64::try_from(usage.user.as_micros()).unwrap_or(u64::MAX),
        system_microseconds: u64::try_from(usage.system.as_micros()).unwrap_or(u64::MAX),
    })
}

/// Waits for the end of a child; returns its exit code, or 128 and the signal that ended it.
pub(super) fn wait_for(child: Pid) -> io::Result<i32> {
    loop {
        match rustix::process::waitpid(Some(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => match outcome(status) {
                Some(Outcome::Code(code)) => return Ok(code),
                Some(Outcome::Signal(signal)) => return Ok(128 + signal),
                None => {}
            },
            Ok(None) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

struct Tree {
    main: Pid,
    realm: Realm,
    /// Our number in `/proc`.
    own_pid: Pid,
    /// How `main` ended, once it has.
    outcome: Option<Outcome>,
}

impl Tree {
    /// Returns whether `main` was still running when it was to be killed.
    fn watch(&mut self, control: &UnixStream, meter: &mut Meter) -> io::Result<bool> {
        let child_ends = ChildEnds::new()?;
        loop {
            self.reap()?;
            if self.outcome.is_some() {
                return Ok(false);
            }
            let patience = meter.sample_if_due()?;
            if meter.met().is_some() {
                return Ok(true);
            }
            let mut watched = [PollFd::new(&child_ends, PollFlags::IN), PollFd::new(control, PollFlags::IN)];
            match poll(&mut watched, Timespec::try_from(patience).ok().as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let [_, control_event] = watched.map(|fd| !fd.revents().is_empty());
            child_ends.forget()?;
            if control_event {
                // A byte is an order to kill, the end of the stream means that we have been left alone.
                let _ = { control }.read(&mut [0]);
                self.reap()?;
                return Ok(self.outcome.is_none());
            }
        }
    }

    /// Kills all there is until nothing is left.
    fn kill(&mut self) -> io::Result<()> {
        let mut known = HashSet::new();
        let mut pause = Duration::ZERO;
        while self.reap()? {
            let new = match self.realm {
                // At one stroke: the kernel lets nobody fork meanwhile.
                Realm::PidNamespace => system::kill_all_others().map(|()| false)?,
                Realm::Descendants => kill_descendants(self.own_pid, &mut known)?,
            };
            // As long as there are new ones they may be faster than we are; else we only wait for the kernel.
            pause = if new {
                Duration::ZERO
            } else {
                (pause * 2).clamp(Duration::from_micros(50), SAMPLING_INTERVAL)
            };
            thread::sleep(pause);
        }
        Ok(())
    }

    /// Collects the dead; returns whether we have any children left.
    fn reap(&mut self) -> io::Result<bool> {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    if pid == self.main {
                        self.outcome = outcome(status).or(self.outcome);
                    }
                }
                Ok(None) => return Ok(true),
                Err(Errno::CHILD) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn outcome(status: WaitStatus) -> Option<Outcome> {
    let code = status.exit_status().map(Outcome::Code);
    code.or_else(|| status.terminating_signal().map(Outcome::Signal))
}

/// Returns whether there were any that are not in `known`.
fn kill_descendants(own_pid: Pid, known: &mut HashSet<Pid>) -> io::Result<bool> {
    let running: Vec<Process> =
        census::descendants(own_pid)?.into_iter().filter(|process| !process.zombie).collect();
    // A group dies at one stroke, which catches up with processes that do nothing but fork and end: fifty
    // lines of such, in C, are dead after 0.3 s; one by one it takes 5 to 15 s. Groups never cross sessions,
    // and the command got its own, so all members of a descendant's group are descendants. The number cannot
    // mean another group by now: the kernel goes through all numbers before it gives one out again.
    let groups: HashSet<Pid> = running.iter().filter_map(|process| process.group).collect();
    for group in groups {
        if !group.is_init() && group != getpgrp() {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
    let mut new = false;
    for process in running {
        new |= known.insert(process.pid);
        kill_if_same(own_pid, &process);
    }
    Ok(new)
}

/// Kills a process found in the process table, unless its number belongs to somebody else by now: the
/// descriptor holds on to one process, and if after opening it the table still shows our descendant, it is
/// that one.
fn kill_if_same(own_pid: Pid, process: &Process) {
    let held = pidfd_open(process.pid, PidfdFlags::empty());
    let same = census::find(process.pid)
        .is_some_and(|now| now.parent == process.parent || now.parent == Some(own_pid));
    // Failures mean that it is dead already; one that is not will be found again.
    match held {
        Ok(held) if same => {
            let _ = pidfd_send_signal(held, Signal::KILL);
        }
        // Before Linux 5.3.
        Err(Errno::NOSYS) if same => {
            let _ = kill_process(process.pid, Signal::KILL);
        }
        _ => {}
    }
}
