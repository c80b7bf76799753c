//! How large an input root may be. Knows nothing of what is in one.

use crate::execute::error::ExecuteError;

/// How large an input root may be.
#[derive(Debug, Clone, Copy)]
pub struct InputLimits {
    /// Files, directories and symlinks.
    pub entries: u64,
    /// Levels of directories.
    pub depth: usize,
}

impl Default for InputLimits {
    fn default() -> Self {
        Self { entries: 4_000_000, depth: 256 }
    }
}

impl InputLimits {
    pub(super) fn check_depth(&self, depth: usize) -> Result<(), ExecuteError> {
        if depth <= self.depth {
            return Ok(());
        }
        let problem = format!("is deeper than {} directories", self.depth);
        Err(ExecuteError::invalid("action.input_root_digest", problem))
    }

    pub(super) fn check_entries(&self, entries: u64) -> Result<(), ExecuteError> {
        if entries <= self.entries {
            return Ok(());
        }
        let problem = format!("has {entries} entries; at most {} are accepted", self.entries);
        Err(ExecuteError::invalid("action.input_root_digest", problem))
    }
}
