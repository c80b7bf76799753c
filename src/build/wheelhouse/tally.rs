//! How far a wheelhouse has come, on the display of the run. Knows nothing of what is done.

use parking_lot::Mutex;

use super::results::{DistributionResult, DistributionStatus};
use crate::build::progress::{Progress, Summary};

/// Counts what has ended, what is being done, and what waits.
pub(super) struct Tally<'a> {
    progress: &'a Progress,
    summary: Summary,
    total: usize,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    ended: usize,
    fetching: usize,
    building: usize,
}

/// What is being done with something.
#[derive(Clone, Copy)]
pub(super) enum Doing {
    Fetching,
    Building,
}

impl<'a> Tally<'a> {
    /// Of `total` distributions, none of which has ended.
    pub(super) fn new(progress: &'a Progress, total: usize) -> Self {
        Self { progress, summary: progress.summary(), total, counts: Mutex::default() }
    }

    /// Some `count` of them were there already.
    pub(super) fn kept(&self, count: usize) {
        if count > 0 {
            self.counts.lock().ended += count;
            self.progress.event(&format!("[{count}/{}] there already", self.total));
        }
        self.show();
    }

    /// Something is begun with one of them.
    pub(super) fn begins(&self, doing: Doing) {
        *self.counts.lock().of(doing) += 1;
        self.show();
    }

    /// What was begun has ended, with these results.
    pub(super) fn ended(&self, doing: Doing, results: &[&DistributionResult]) {
        {
            let mut counts = self.counts.lock();
            *counts.of(doing) -= 1;
            for result in results {
                counts.ended += 1;
                self.progress.event(&line(result, counts.ended, self.total));
            }
        }
        self.show();
    }

    fn show(&self) {
        let counts = self.counts.lock();
        let waiting = self.total.saturating_sub(counts.ended + counts.fetching + counts.building);
        self.summary.say(&format!(
            "{} of {}: {} being fetched, {} being built, {waiting} waiting",
            counts.ended, self.total, counts.fetching, counts.building
        ));
    }
}

impl Counts {
    fn of(&mut self, doing: Doing) -> &mut usize {
        match doing {
            Doing::Fetching => &mut self.fetching,
            Doing::Building => &mut self.building,
        }
    }
}

/// `[3/40] built lib 1.0 linux_arm64 (2.31 s)`
fn line(result: &DistributionResult, number: usize, total: usize) -> String {
    let version = result.version.as_deref().unwrap_or("(dynamic)");
    let title = format!("{} {version} {}", result.name, result.target);
    let remark = match (&result.failure, result.status) {
        (Some(failure), _) => format!(": {failure}"),
        (None, DistributionStatus::Shared | DistributionStatus::Kept) => String::new(),
        (None, _) => format!(" ({:.2} s)", result.seconds),
    };
    format!("[{number}/{total}] {} {title}{remark}", result.status.word())
}
