//! What makes one input root of another: the entries to add, to replace and to hide. Descends only where digests
//! differ. Knows nothing of file systems.

use std::cmp::Ordering;

use super::directory::{Entry, InputDirectory};
use crate::execute::path::ExecPath;

/// A step towards another input root. Steps come in an order in which they can be taken: a directory before what
/// is in it.
#[derive(Debug)]
pub enum Step<'a> {
    /// An existing directory, of which something changes.
    Enter(&'a InputDirectory),
    /// An entry that is new, or takes the place of another.
    Put(&'a Entry),
    /// An entry that is gone.
    Hide,
}

/// The steps from one input root to another, and where each is taken.
#[derive(Debug)]
pub struct Difference<'a> {
    pub steps: Vec<(ExecPath, Step<'a>)>,
    /// Files, directories and symlinks to be made; what is hidden and entered counts, too.
    pub cost: u64,
}

impl<'a> Difference<'a> {
    /// None if it would cost more than `budget`.
    pub fn between(old: &InputDirectory, new: &'a InputDirectory, budget: u64) -> Option<Self> {
        let mut difference = Self { steps: Vec::new(), cost: 0 };
        difference.enter(old, new, &ExecPath::default(), budget)?;
        Some(difference)
    }

    fn take(&mut self, path: ExecPath, step: Step<'a>, cost: u64, budget: u64) -> Option<()> {
        self.cost = self.cost.saturating_add(cost);
        self.steps.push((path, step));
        (self.cost <= budget).then_some(())
    }

    fn enter(
        &mut self,
        old: &InputDirectory,
        new: &'a InputDirectory,
        path: &ExecPath,
        budget: u64,
    ) -> Option<()> {
        self.take(path.clone(), Step::Enter(new), 1, budget)?;
        let (mut olds, mut news) = (old.entries.iter().peekable(), new.entries.iter().peekable());
        loop {
            let order = match (olds.peek(), news.peek()) {
                (None, None) => return Some(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((old, _)), Some((new, _))) => old.cmp(new),
            };
            let before = if order == Ordering::Greater { None } else { olds.next() };
            let after = if order == Ordering::Less { None } else { news.next() };
            match (before, after) {
                (Some((name, _)), None) => self.take(path.join(name), Step::Hide, 1, budget)?,
                (Some((_, before)), Some((_, after))) if before.is_same(after) => {}
                (Some((name, Entry::Directory(before))), Some((_, Entry::Directory(after)))) => {
                    self.enter(before, after, &path.join(name), budget)?;
                }
                (_, Some((name, after))) => {
                    let cost = match after {
                        Entry::Directory(directory) => directory.totals.entries,
                        Entry::File(_) | Entry::Symlink(_) => 1,
                    };
                    self.take(path.join(name), Step::Put(after), cost, budget)?;
                }
                (None, None) => return Some(()),
            }
        }
    }
}
