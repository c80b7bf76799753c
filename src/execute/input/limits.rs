//! How large an input root may be. Knows nothing of what is in one.

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
