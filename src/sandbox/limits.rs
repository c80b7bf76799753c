//! How much of this machine a command may take. Knows nothing of how that is enforced.

use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::memory::Memory;

/// The most that a command and all its descendants may have at a time. They are killed when it is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResourceLimits {
    /// Bytes of memory, what lies in directories in memory included. At most three quarters of this machine's if `None`.
    pub memory: Option<u64>,
    /// Processes and threads. At most a quarter of what this machine can have if `None`.
    pub processes: Option<u64>,
}

/// A limit that a command met, so that it was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetLimit {
    /// So many bytes of memory.
    Memory(u64),
    /// So many processes and threads.
    Processes(u64),
}

impl fmt::Display for MetLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(bytes) => {
                write!(formatter, "memory={bytes}: it took more memory than {bytes} bytes")
            }
            Self::Processes(most) => {
                write!(formatter, "pids={most}: it had more than {most} processes and threads at a time")
            }
        }
    }
}

impl ResourceLimits {
    /// With what holds on this machine where nothing else is said.
    pub(super) fn or_of_this_machine(self) -> Self {
        // They do not change, and every command asks.
        static OF_THIS_MACHINE: LazyLock<ResourceLimits> = LazyLock::new(|| ResourceLimits {
            memory: Memory::now().ok().map(|memory| memory.total / 4 * 3),
            processes: processes_of_this_machine().map(|most| most / 4),
        });
        let Self { memory, processes } = *OF_THIS_MACHINE;
        Self { memory: self.memory.or(memory), processes: self.processes.or(processes) }
    }

    /// How much memory a command's directories in memory may take together: a little more than the command may have, so that
    /// it is its limit which ends a command that fills them.
    pub(super) fn private_bytes(self) -> u64 {
        const MORE: u64 = 1 << 20;
        self.or_of_this_machine().memory.unwrap_or(1 << 30).max(MORE).saturating_add(MORE)
    }
}

fn processes_of_this_machine() -> Option<u64> {
    let numbers = ["pid_max", "threads-max"].map(|name| {
        let text = fs_err::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?;
        text.trim().parse::<u64>().ok()
    });
    numbers.into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_is_said_something_holds_all_the_same() {
        let limits = ResourceLimits::default().or_of_this_machine();
        assert!(limits.memory.is_some_and(|bytes| bytes > 64 << 20), "{limits:?}");
        assert!(limits.processes.is_some_and(|most| most > 100), "{limits:?}");
        let said = ResourceLimits { memory: Some(1), processes: Some(2) };
        assert_eq!(said.or_of_this_machine(), said);
    }

    #[test]
    fn a_limit_is_said_by_the_name_of_its_setting() {
        assert!(MetLimit::Memory(5).to_string().starts_with("memory=5: "));
        assert!(MetLimit::Processes(7).to_string().starts_with("pids=7: "));
    }
}
