//! Control groups, where this process may make some: what they bound the kernel bounds, memory above all, whatever it is
//! used for. Knows nothing of what runs in them.
//!
//! Both versions are used as they are found. Of the first there is a hierarchy for each controller; of the second one for
//! all, in which only those groups may be touched that were given to us: marked as delegated (systemd's `Delegate=`), or
//! the root of what a container sees.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fs_err::os::unix::fs::OpenOptionsExt;

use super::limits::ResourceLimits;

/// Names of our groups: this, the number of the process that made it, and one of its own.
const PREFIX: &str = "crosswheel-";

/// In a group of the second version that has controllers there are no processes: its own are moved here.
const OWN_GROUP: &str = "crosswheel";

/// What those take that are in a group and are not commands.
const OWN_BYTES: u64 = 32 << 20;

/// How a group's files are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    First,
    Second,
}

/// A directory in which groups can be made that bound something.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parent {
    directory: PathBuf,
    version: Version,
    memory: bool,
    processes: bool,
}

/// Where groups are made.
#[derive(Debug, Clone)]
pub(super) struct ControlGroups {
    parents: Vec<Parent>,
}

/// A group. It is removed when this is dropped; nothing may be left in it then.
#[derive(Debug)]
pub(super) struct ControlGroup {
    parts: Vec<(Parent, PathBuf)>,
    memory: Option<u64>,
    processes: Option<u64>,
    /// As many kills as are known of.
    kills: u64,
}

impl ControlGroups {
    /// Those that this process may make; none if it may not. What earlier ones left behind is removed.
    pub(super) fn find() -> Option<Self> {
        let own = fs_err::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = fs_err::read_to_string("/proc/self/mountinfo").ok()?;
        let parents = candidates(&own, &mounts);
        let parents: Vec<Parent> = parents.into_iter().filter_map(prepare).collect();
        for parent in &parents {
            sweep(&parent.directory);
        }
        let found = Self { parents };
        // Only an attempt tells.
        let works = (found.bounds_memory() || found.bounds_processes()) && found.make().is_ok();
        works.then_some(found)
    }

    /// Whether the kernel bounds the memory of what is in a group.
    pub(super) fn bounds_memory(&self) -> bool {
        self.parents.iter().any(|parent| parent.memory)
    }

    /// Whether the kernel bounds how many processes are in a group.
    pub(super) fn bounds_processes(&self) -> bool {
        self.parents.iter().any(|parent| parent.processes)
    }

    /// Makes a group.
    pub(super) fn make(&self) -> io::Result<ControlGroup> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let mut group = ControlGroup { parts: Vec::new(), memory: None, processes: None, kills: 0 };
        for parent in &self.parents {
            let directory = parent.directory.join(&name);
            fs_err::create_dir(&directory)?;
            group.parts.push((parent.clone(), directory));
        }
        Ok(group)
    }
}

impl ControlGroup {
    /// Moves a process into it, and so all that it will start.
    pub(super) fn take(&self, process: u32) -> io::Result<()> {
        self.parts
            .iter()
            .try_for_each(|(_, directory)| write(&directory.join("cgroup.procs"), process.into()))
    }

    /// Bounds what is in it. It is a second line behind who measures, and who says that a limit was met: a fork that fails is
    /// seen by nobody but its caller, and who measures must have something left to do so.
    pub(super) fn limit(&mut self, limits: ResourceLimits) -> io::Result<()> {
        let memory = limits.memory.map(|bytes| bytes.saturating_add(OWN_BYTES));
        let processes = limits.processes.map(|most| most + most / 4 + 64);
        for (parent, directory) in &self.parts {
            if let Some(bytes) = memory
                && parent.memory
                && self.memory != memory
            {
                let file = match parent.version {
                    Version::First => "memory.limit_in_bytes",
                    Version::Second => "memory.max",
                };
                write(&directory.join(file), bytes)?;
            }
            if let Some(most) = processes
                && parent.processes
                && self.processes != processes
            {
                write(&directory.join("pids.max"), most)?;
            }
        }
        (self.memory, self.processes) = (memory, processes);
        Ok(())
    }

    /// Whether the kernel has ended a process in it for want of memory since this was last asked.
    pub(super) fn was_killed_for_memory(&mut self) -> bool {
        let kills = self.count_kills();
        let more = kills > self.kills;
        self.kills = kills;
        more
    }

    fn count_kills(&self) -> u64 {
        let kills = self.parts.iter().filter(|(parent, _)| parent.memory).map(|(parent, directory)| {
            let file = match parent.version {
                Version::First => "memory.oom_control",
                Version::Second => "memory.events",
            };
            let text = fs_err::read_to_string(directory.join(file)).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
            line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
        });
        kills.sum()
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        for (_, directory) in &self.parts {
            // The dead are still in it until the kernel has done with them.
            for _ in 0..50 {
                match fs_err::remove_dir(directory) {
                    Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    // Whoever makes groups next here removes it.
                    _ => break,
                }
            }
        }
    }
}

/// The groups that this process is in, as `/proc/self/cgroup` and `/proc/self/mountinfo` tell.
fn candidates(own: &str, mounts: &str) -> Vec<Parent> {
    let mut found: Vec<Parent> = Vec::new();
    for line in own.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let of: Vec<&str> = controllers.split(',').collect();
        let version = if controllers.is_empty() { Version::Second } else { Version::First };
        let (memory, processes) = (of.contains(&"memory"), of.contains(&"pids"));
        if version == Version::First && !memory && !processes {
            continue;
        }
        let directory = mounts.lines().find_map(|mount| directory(mount, version, controllers, path));
        if let Some(directory) = directory {
            found.push(Parent { directory, version, memory, processes });
        }
    }
    found
}

/// Where the mount in this line of `/proc/self/mountinfo` has the group at `path`, if it has those of `controllers`.
fn directory(mount: &str, version: Version, controllers: &str, path: &str) -> Option<PathBuf> {
    let (first, second) = mount.split_once(" - ")?;
    let mut first = first.split(' ').skip(3);
    let (part, place) = (first.next()?, first.next()?);
    let mut second = second.split(' ');
    let (kind, options) = (second.next()?, second.nth(1)?);
    let fits = match version {
        Version::First => {
            kind == "cgroup" && controllers.split(',').all(|one| options.split(',').any(|o| o == one))
        }
        Version::Second => kind == "cgroup2",
    };
    let below = Path::new(path).strip_prefix(part).ok()?;
    fits.then(|| Path::new(place).join(below))
}

/// Makes a group one in which others can be made, if that is for us to do.
fn prepare(parent: Parent) -> Option<Parent> {
    if parent.version == Version::First {
        return Some(parent);
    }
    let read = |name: &str| fs_err::read_to_string(parent.directory.join(name)).unwrap_or_default();
    let offered = read("cgroup.controllers");
    let has = |controller: &str| offered.split_whitespace().any(|one| one == controller);
    let parent_of = Parent { memory: has("memory"), processes: has("pids"), ..parent.clone() };
    if !(parent_of.memory || parent_of.processes) || !is_ours(&parent.directory) {
        return None;
    }
    let enable = || {
        let wanted = [("memory", parent_of.memory), ("pids", parent_of.processes)];
        let wanted: String =
            wanted.iter().filter(|(_, is)| *is).map(|(name, _)| format!("+{name} ")).collect();
        overwrite(&parent.directory.join("cgroup.subtree_control"), wanted.trim_end().as_bytes())
    };
    if enable().is_err() {
        // Whoever is in it goes into one of its own. There may be others than us, as in a container.
        let own = parent.directory.join(OWN_GROUP);
        let _ = fs_err::create_dir(&own);
        for process in read("cgroup.procs").lines() {
            let _ = overwrite(&own.join("cgroup.procs"), process.as_bytes());
        }
        enable().ok()?;
    }
    Some(parent_of)
}

/// Whether a group of the second version was given to us.
fn is_ours(directory: &Path) -> bool {
    // The root of all groups has no type, nor has that of a container.
    let is_root = !directory.join("cgroup.type").exists();
    let marked = ["user.delegate", "trusted.delegate"].iter().any(|name| {
        let mut value = [0; 8];
        rustix::fs::getxattr(directory, *name, &mut value[..]).is_ok_and(|length| &value[..length] == b"1")
    });
    is_root || marked
}

/// Removes groups of processes that are no more.
fn sweep(directory: &Path) {
    for entry in fs_err::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let maker =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
        if maker.is_some_and(|maker| !Path::new("/proc").join(maker.to_string()).exists()) {
            // One that is not empty is not removed.
            let _ = fs_err::remove_dir(entry.path());
        }
    }
}

fn write(file: &Path, number: u64) -> io::Result<()> {
    overwrite(file, number.to_string().as_bytes())
}

fn overwrite(file: &Path, bytes: &[u8]) -> io::Result<()> {
    fs_err::OpenOptions::new().write(true).custom_flags(libc::O_CLOEXEC).open(file)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOUNTS: &str = "\
30 23 0:26 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw
33 30 0:30 /outer /sys/fs/cgroup/memory rw shared:14 - cgroup cgroup rw,memory
34 30 0:31 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 30 0:32 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
";

    #[test]
    fn the_groups_of_both_versions_are_found_where_they_are_mounted() {
        let own = "9:cpu,cpuacct:/\n8:pids:/a\n4:memory:/outer/inner\n0::/user.slice/x\n";
        let found = candidates(own, MOUNTS);
        let parent = |directory: &str, version, memory, processes| Parent {
            directory: directory.into(),
            version,
            memory,
            processes,
        };
        let expected = [
            parent("/sys/fs/cgroup/pids/a", Version::First, false, true),
            parent("/sys/fs/cgroup/memory/inner", Version::First, true, false),
            parent("/sys/fs/cgroup/unified/user.slice/x", Version::Second, false, false),
        ];
        assert_eq!(found, expected);
        // A group that is not below what is mounted cannot be reached.
        assert!(candidates("4:memory:/elsewhere\n", MOUNTS).is_empty());
    }

    proptest! {
        #[test]
        fn no_table_makes_the_search_panic(own: String, mounts: String) {
            let _ = candidates(&own, &mounts);
        }
    }
}
