//! How much outputs may be, all together. Knows nothing of how they are found.

use crate::execute::error::ExecuteError;
use crate::execute::quota::{Bound, Exceeded};
use crate::size::about;

/// Bytes of path and of what a symlink leads to, on the average.
const TEXT: u64 = 256;

/// What there was so far.
#[derive(Debug)]
pub(super) struct Budget {
    limit: Bound,
    most_entries: u64,
    bytes: u64,
    entries: u64,
    text: u64,
}

impl Budget {
    pub fn new(limit: Bound, most_entries: u64) -> Self {
        Self { limit, most_entries, bytes: 0, entries: 0, text: 0 }
    }

    /// One thing more, with so many bytes of path and target.
    pub fn entry(&mut self, text: usize) -> Result<(), ExecuteError> {
        self.entries += 1;
        self.text = self.text.saturating_add(text as u64);
        if self.entries > self.most_entries {
            let most = self.most_entries.to_string();
            let did = format!("has more than {most} outputs, with all that is in directories");
            return Err(Exceeded::fixed("output", &did, &most).into());
        }
        if self.text > self.most_entries.saturating_mul(TEXT) {
            let most = about(self.most_entries.saturating_mul(TEXT));
            let did = format!("has outputs whose paths and links have more than {most}");
            return Err(Exceeded::fixed("output", &did, &most).into());
        }
        Ok(())
    }

    /// How many names of one directory there may be.
    pub fn names_left(&self) -> u64 {
        self.most_entries.saturating_sub(self.entries)
    }

    /// One file more. A hole is as long as any other part of it.
    pub fn file(&mut self, size_bytes: u64) -> Result<(), ExecuteError> {
        self.bytes = self.bytes.saturating_add(size_bytes);
        if self.bytes > self.limit.most {
            let did = format!("has outputs of {} and more", about(self.bytes));
            return Err(Exceeded::new(&self.limit, &did).into());
        }
        Ok(())
    }
}
