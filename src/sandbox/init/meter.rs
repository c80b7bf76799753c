//! Measures what a tree of processes takes of this machine, and sees when that is more than it may. Knows nothing of what
//! happens then.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::census::{self, Process};
use crate::sandbox::limits::{MetLimit, ResourceLimits};

/// Shortest time between two samples.
pub(super) const SAMPLING_INTERVAL: Duration = Duration::from_millis(20);
/// Sampling takes at most one part in this many of a processor, however long the process table is, ...
const SAMPLING_SHARE: u32 = 20;
/// ... but is done at least so often: who makes it take long gains nothing.
const LONGEST_INTERVAL: Duration = Duration::from_millis(500);
/// How long it may take to find out what is shared, which is asked for where it may save somebody.
const LENIENCE: Duration = Duration::from_millis(200);

/// Samples a tree.
pub(super) struct Meter {
    own_pid: Pid,
    /// A directory of the file system that has what of the tree's files lies in memory.
    in_memory: Option<&'static str>,
    limits: ResourceLimits,
    page_bytes: u64,
    peak_bytes: u64,
    next_sample: Instant,
    met: Option<MetLimit>,
}

impl Meter {
    /// Measures what descends from `own_pid`, and what lies in the file system of the directory `in_memory`.
    pub(super) fn new(own_pid: Pid, in_memory: Option<&'static str>, limits: ResourceLimits) -> Self {
        let page_bytes = rustix::param::page_size() as u64;
        let next_sample = Instant::now() + SAMPLING_INTERVAL;
        Self { own_pid, in_memory, limits, page_bytes, peak_bytes: 0, next_sample, met: None }
    }

    /// The most memory that was seen.
    pub(super) fn peak_bytes(&self) -> u64 {
        self.peak_bytes
    }

    /// The limit that was exceeded.
    pub(super) fn met(&self) -> Option<MetLimit> {
        self.met
    }

    /// Returns the time until the next sample.
    pub(super) fn sample_if_due(&mut self) -> io::Result<Duration> {
        let start = Instant::now();
        if start >= self.next_sample {
            self.sample()?;
            let end = Instant::now();
            self.next_sample =
                end + ((end - start) * SAMPLING_SHARE).clamp(SAMPLING_INTERVAL, LONGEST_INTERVAL);
        }
        Ok(self.next_sample.saturating_duration_since(Instant::now()))
    }

    /// Whether a command that has failed did so because its directories in memory were full, as they are as long as we are.
    pub(super) fn look_for_full_directories(&mut self) {
        if let Some(most) = self.limits.memory
            && self.bytes_in_files() > most
        {
            self.met.get_or_insert(MetLimit::Memory(most));
        }
    }

    fn sample(&mut self) -> io::Result<()> {
        let processes = census::descendants(self.own_pid)?;
        let pages: u64 = processes.iter().map(|process| process.resident_pages).sum();
        let in_files = self.bytes_in_files() + self.bytes_in_segments();
        let bytes = pages * self.page_bytes + in_files;
        self.peak_bytes = self.peak_bytes.max(bytes);
        if let Some(most) = self.limits.processes
            && processes.iter().map(|process| process.threads).sum::<u64>() > most
        {
            self.met = Some(MetLimit::Processes(most));
        }
        if let Some(most) = self.limits.memory
            && bytes > most
            // One after the other is asked, and what is shared with one that has just been made counts for both.
            && (0..2).all(|_| self.without_counting_twice(&processes, most) + in_files > most)
        {
            self.met = Some(MetLimit::Memory(most));
        }
        Ok(())
    }

    /// The memory of these processes, with what they share counted once. It takes longer to find out, and is asked for
    /// only where it may save them.
    fn without_counting_twice(&self, processes: &[Process], most: u64) -> u64 {
        let start = Instant::now();
        let bytes = processes.iter().map(|process| {
            let resident = process.resident_pages * self.page_bytes;
            // To find out takes as long as there are pages, and whoever has that many more than it may shares them with
            // itself.
            if resident / 2 > most || start.elapsed() > LENIENCE {
                return resident;
            }
            census::proportional_bytes(process.pid).unwrap_or(resident)
        });
        bytes.sum()
    }

    /// What the tree has in shared memory of the older kind (System V), be it attached to a process or not.
    fn bytes_in_segments(&self) -> u64 {
        if self.in_memory.is_none() {
            // It would be everybody's.
            return 0;
        }
        let table = fs_err::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
        // proc_sysvipc_shm: the last two columns are bytes in memory and in swap.
        let resident =
            table.lines().skip(1).filter_map(|line| line.split_whitespace().nth_back(1)?.parse::<u64>().ok());
        resident.sum()
    }

    /// What the files take that lie in memory, and in no process's.
    fn bytes_in_files(&self) -> u64 {
        let found = self.in_memory.and_then(|directory| rustix::fs::statvfs(directory).ok());
        found.map_or(0, |found| found.f_blocks.saturating_sub(found.f_bfree) * found.f_frsize)
    }
}
