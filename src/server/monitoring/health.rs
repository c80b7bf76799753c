//! Whether this machine is fit to take work: room on the disk, memory, descriptors, and a sandbox that can be made. Knows
//! nothing of who would hand out the work.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::statvfs;
use rustix::process::{Resource, getrlimit};

use crate::memory::Memory;
use crate::size::about;

/// How often it is looked.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often it is tried whether a sandbox can be made.
const TRY_EVERY: Duration = Duration::from_secs(15);

/// Part of the memory that must be there for the taking: one in so many.
const MEMORY_PART: u64 = 50;
/// Part of the files this process may have open that must be left: one in so many.
const FILES_PART: u64 = 10;

/// What is looked at, in the order in which it is complained of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Disk,
    Memory,
    OpenFiles,
    Sandbox,
    /// Where inputs come from, which is no part of this machine.
    Cas,
}

impl Need {
    /// In their order.
    pub(crate) const ALL: [Self; 5] = [Self::Disk, Self::Memory, Self::OpenFiles, Self::Sandbox, Self::Cas];

    /// In a word, for metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Memory => "memory",
            Self::OpenFiles => "open_files",
            Self::Sandbox => "sandbox",
            Self::Cas => "cas",
        }
    }
}

/// What is wrong with this machine, for whoever watches.
#[derive(Debug, Clone, Default)]
pub(crate) struct Troubles(Arc<Mutex<[Option<String>; 5]>>);

impl Troubles {
    /// Why it takes no work; none if it is well.
    pub(crate) fn first(&self) -> Option<String> {
        self.0.lock().iter().flatten().next().cloned()
    }

    /// Notes what is wrong, or that nothing is any more; says so in the log if that is new.
    pub(crate) fn set(&self, need: Need, now: Option<String>) {
        let mut troubles = self.0.lock();
        let before = std::mem::replace(&mut troubles[need as usize], now);
        match (&before, &troubles[need as usize]) {
            (None, Some(trouble)) => tracing::error!("takes no work: {trouble}"),
            (Some(_), None) => tracing::info!(need = need.name(), "fit to work again"),
            _ => {}
        }
    }

    /// Which needs are not met.
    pub(crate) fn unmet(&self) -> Vec<(Need, bool)> {
        let troubles = self.0.lock();
        Need::ALL.into_iter().zip(troubles.iter().map(Option::is_some)).collect()
    }
}

/// Looks at this machine.
pub(crate) struct Health {
    store: PathBuf,
    /// Bytes that must be free on the disk of the store.
    min_free_bytes: u64,
    /// Runs a program in a sandbox; the error says what came of it.
    trial: Box<dyn Fn() -> Result<(), String> + Send>,
    tried_at: Option<Instant>,
    troubles: Troubles,
}

/// How much there is of something. Below `least` there is trouble, which is over at `enough`, so that nothing goes to and
/// fro.
#[derive(Debug, Clone, Copy)]
struct Level {
    left: u64,
    least: u64,
    enough: u64,
}

impl Level {
    fn is_trouble(self, was_trouble: bool) -> bool {
        self.left < if was_trouble { self.enough } else { self.least }
    }
}

impl Health {
    pub(crate) fn new(
        store: &Path,
        min_free_bytes: u64,
        trial: impl Fn() -> Result<(), String> + Send + 'static,
        troubles: Troubles,
    ) -> Self {
        Self { store: store.to_owned(), min_free_bytes, trial: Box::new(trial), tried_at: None, troubles }
    }

    /// Looks, and says whether this machine is fit to take work. Blocks.
    pub(crate) fn look(&mut self) -> bool {
        for need in Need::ALL {
            let was_trouble = self.troubles.0.lock()[need as usize].is_some();
            if let Some(now) = self.trouble(need, was_trouble) {
                self.troubles.set(need, now);
            }
        }
        self.troubles.first().is_none()
    }

    /// What is wrong; nothing if nothing new is known.
    fn trouble(&mut self, need: Need, was_trouble: bool) -> Option<Option<String>> {
        let troubled = match need {
            Need::Disk => self.disk(was_trouble),
            Need::Memory => memory(was_trouble),
            Need::OpenFiles => open_files(was_trouble),
            Need::Sandbox => return self.sandbox(),
            // Somebody else looks at that.
            Need::Cas => return None,
        };
        Some(
            troubled.unwrap_or_else(|error| {
                Some(format!("cannot see how much {} is left: {error}", need.name()))
            }),
        )
    }

    fn disk(&self, was_trouble: bool) -> io::Result<Option<String>> {
        let stat = statvfs(&self.store)?;
        let left = stat.f_bavail.saturating_mul(stat.f_frsize);
        // The store evicts to keep as much free, so that it gets there by itself unless others fill the disk.
        let least = self.min_free_bytes / 2;
        let bytes =
            Level { left, least, enough: self.min_free_bytes.saturating_sub(self.min_free_bytes / 8) };
        if bytes.is_trouble(was_trouble) {
            return Ok(Some(format!(
                "{} are left on the disk of the store, and {} are to be (min-free-bytes)",
                about(left),
                about(self.min_free_bytes)
            )));
        }
        // File systems without a table of inodes say 0 of 0.
        let files = Level { left: stat.f_favail, least: stat.f_files / 1000, enough: stat.f_files / 200 };
        let trouble = stat.f_files > 0 && files.is_trouble(was_trouble);
        Ok(trouble.then(|| format!("{} more files can be made on the disk of the store", stat.f_favail)))
    }

    fn sandbox(&mut self) -> Option<Option<String>> {
        if self.tried_at.is_some_and(|at| at.elapsed() < TRY_EVERY) {
            return None;
        }
        let tried = (self.trial)();
        self.tried_at = Some(Instant::now());
        Some(tried.err().map(|problem| format!("no sandbox can be made: {problem}")))
    }
}

fn memory(was_trouble: bool) -> io::Result<Option<String>> {
    let Memory { total, available } = Memory::now()?;
    let level = Level { left: available, least: total / MEMORY_PART, enough: total / MEMORY_PART * 2 };
    Ok(level.is_trouble(was_trouble).then(|| format!("{} of memory are left", about(available))))
}

fn open_files(was_trouble: bool) -> io::Result<Option<String>> {
    let Some(most) = getrlimit(Resource::Nofile).current else { return Ok(None) };
    let open = fs_err::read_dir("/proc/self/fd")?.count() as u64;
    let left = most.saturating_sub(open);
    let level = Level { left, least: most / FILES_PART, enough: most / FILES_PART * 2 };
    Ok(level
        .is_trouble(was_trouble)
        .then(|| format!("{open} of {most} files are open that this process may have")))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn trouble_is_over_when_there_is_enough_and_not_before() {
        let level = |left| Level { left, least: 10, enough: 20 };
        assert!(!level(10).is_trouble(false) && level(9).is_trouble(false));
        assert!(level(19).is_trouble(true) && !level(20).is_trouble(true));
    }

    #[test]
    fn this_machine_is_fit_for_the_tests() {
        let directory = tempfile::tempdir().unwrap();
        let troubles = Troubles::default();
        assert!(Health::new(directory.path(), 1, || Ok(()), troubles.clone()).look(), "{troubles:?}");
        assert_eq!(troubles.first(), None);
        assert!(troubles.unmet().iter().all(|(_, unmet)| !unmet));
    }

    #[test]
    fn a_disk_that_is_too_full_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let troubles = Troubles::default();
        assert!(!Health::new(directory.path(), u64::MAX, || Ok(()), troubles.clone()).look());
        let trouble = troubles.first().unwrap();
        assert!(trouble.contains("left on the disk"), "{trouble}");
        assert!(!Health::new(Path::new("/no/such/store"), 1, || Ok(()), Troubles::default()).look());
    }

    #[test]
    fn a_sandbox_is_tried_now_and_then() {
        let directory = tempfile::tempdir().unwrap();
        let broken = Arc::new(AtomicBool::new(true));
        let trial = {
            let broken = Arc::clone(&broken);
            move || if broken.load(Ordering::Relaxed) { Err("why".to_owned()) } else { Ok(()) }
        };
        let mut health = Health::new(directory.path(), 1, trial, Troubles::default());
        assert!(!health.look());
        assert_eq!(health.troubles.first().unwrap(), "no sandbox can be made: why");
        broken.store(false, Ordering::Relaxed);
        assert!(!health.look(), "not every time");
        health.tried_at = None;
        assert!(health.look());
    }
}
