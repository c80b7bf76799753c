//! Who descends from us, and how much memory they have, read from `/proc`. Knows nothing of what to do about
//! it.
//!
//! Reads the whole process table. `/proc/PID/task/TID/children` would do with less, but is missing from
//! kernels built without checkpoint/restore, has to be read per thread, and skips siblings while processes
//! end.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use rustix::process::Pid;

/// A process as its `/proc/PID/stat` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: Pid,
    /// None in our pid namespace, if there is none.
    pub parent: Option<Pid>,
    /// None in our pid namespace, if there is none.
    pub group: Option<Pid>,
    /// A process that is dead and only waits to be reaped.
    pub zombie: bool,
    pub resident_pages: u64,
    pub threads: u64,
}

/// Our own number in the process table at `/proc`, which need not be that of our pid namespace.
pub(super) fn own_pid() -> io::Result<Pid> {
    let link = fs_err::read_link("/proc/self")?;
    let pid = link.to_str().and_then(|pid| number(pid)?);
    pid.ok_or_else(|| io::Error::other(format!("/proc/self leads to {link:?}")))
}

/// All descendants of `ancestor`, itself excluded, at about this moment.
pub(super) fn descendants(ancestor: Pid) -> io::Result<Vec<Process>> {
    Ok(below(ancestor, &all()?))
}

/// The process with this number, if there is one.
pub(super) fn find(pid: Pid) -> Option<Process> {
    let stat = fs_err::read(Path::new("/proc").join(pid.as_raw_pid().to_string()).join("stat")).ok()?;
    let process = parse(&stat)?;
    if process.resident_pages > 0 || process.threads < 2 {
        return Some(process);
    }
    // The thread that it began with has ended, and only the others still have its memory.
    let tasks = fs_err::read_dir(Path::new("/proc").join(pid.as_raw_pid().to_string()).join("task")).ok()?;
    let pages = tasks.flatten().filter_map(|task| parse(&fs_err::read(task.path().join("stat")).ok()?));
    let resident_pages = pages.map(|task| task.resident_pages).find(|pages| *pages > 0).unwrap_or(0);
    Some(Process { resident_pages, ..process })
}

fn all() -> io::Result<Vec<Process>> {
    let mut processes = Vec::new();
    for entry in fs_err::read_dir("/proc")? {
        let name = entry?.file_name();
        if let Some(pid) = name.to_str().and_then(|name| number(name)?) {
            // One that ended since is none of ours any more.
            processes.extend(find(pid));
        }
    }
    Ok(processes)
}

fn below(ancestor: Pid, processes: &[Process]) -> Vec<Process> {
    let mut children: HashMap<Pid, Vec<Process>> = HashMap::new();
    for process in processes {
        if let Some(parent) = process.parent {
            children.entry(parent).or_default().push(*process);
        }
    }
    let mut found = children.remove(&ancestor).unwrap_or_default();
    let mut looked_at = 0;
    // Taking each list out makes a table that was read while it changed, and so may be circular, end all the
    // same.
    while let Some(process) = found.get(looked_at) {
        found.extend(children.remove(&process.pid).unwrap_or_default());
        looked_at += 1;
    }
    found
}

/// Reads a line as in proc_pid_stat(5). The second field is the name of the executable, in parentheses, and
/// may itself hold spaces, parentheses and line breaks.
fn parse(stat: &[u8]) -> Option<Process> {
    let name_start = stat.iter().position(|byte| *byte == b'(')?;
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let pid = number(std::str::from_utf8(&stat[..name_start]).ok()?.trim())??;
    let mut rest = std::str::from_utf8(&stat[name_end + 1..]).ok()?.split_ascii_whitespace();
    // Fields 3, 4, 5, 20 and 24.
    let state = rest.next()?;
    let parent = number(rest.next()?)?;
    let group = number(rest.next()?)?;
    let threads: u64 = rest.nth(14)?.parse().ok()?;
    let resident: i64 = rest.nth(3)?.parse().ok()?;
    Some(Process {
        pid,
        parent,
        group,
        // Its first thread may have ended before others.
        zombie: matches!(state, "Z" | "X") && threads < 2,
        // The counter is kept per processor and may be off to the negative side for a moment.
        resident_pages: resident.try_into().unwrap_or(0),
        threads,
    })
}

/// What a process has of memory, with each page that it shares counted in parts: none once it has ended. Nothing if that
/// cannot be read, as of a process that forbids it, or whose first thread has ended before others.
pub(super) fn proportional_bytes(pid: Pid) -> Option<u64> {
    let place = Path::new("/proc").join(pid.as_raw_pid().to_string()).join("smaps_rollup");
    let text = match fs_err::read_to_string(place) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return None,
        text => text.unwrap_or_default(),
    };
    let Some(line) = text.lines().find_map(|line| line.strip_prefix("Pss:")) else {
        return find(pid).is_none_or(|process| process.zombie).then_some(0);
    };
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The number of a process, which is 0 for none.
fn number(text: &str) -> Option<Option<Pid>> {
    text.parse().ok().filter(|number| *number >= 0).map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn process(pid: i32, parent: i32) -> Process {
        let pid_of = Pid::from_raw;
        Process {
            pid: pid_of(pid).unwrap(),
            parent: pid_of(parent),
            group: pid_of(42),
            zombie: false,
            resident_pages: 1,
            threads: 1,
        }
    }

    proptest! {
        #[test]
        fn no_name_confuses_the_parser(name in "[^\0]{0,40}") {
            let stat = format!("42 ({name}) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99 4096 321 18446");
            let read = parse(stat.as_bytes()).unwrap();
            prop_assert_eq!(read, Process { resident_pages: 321, ..process(42, 7) });
        }

        #[test]
        fn no_line_makes_the_parser_panic(line: Vec<u8>) {
            let _ = parse(&line);
        }

        #[test]
        fn no_table_makes_the_search_endless(links in prop::collection::vec((1..20, 0..20), 0..40)) {
            let table: Vec<Process> = links.into_iter().map(|(pid, parent)| process(pid, parent)).collect();
            prop_assert!(below(Pid::INIT, &table).len() <= table.len());
        }
    }

    #[test]
    fn descendants_are_found_at_any_depth_and_others_are_not() {
        let table = [process(2, 1), process(3, 2), process(4, 3), process(5, 1), process(6, 5)];
        let found: Vec<i32> =
            below(Pid::from_raw(2).unwrap(), &table).iter().map(|process| process.pid.as_raw_pid()).collect();
        assert_eq!(found, [3, 4]);
    }

    #[test]
    fn this_process_finds_itself() {
        let own = own_pid().unwrap();
        assert_eq!(own, rustix::process::getpid());
        let found = find(own).unwrap();
        assert_eq!(found.parent, rustix::process::getppid());
        assert!(found.resident_pages > 0);
    }
}
