//! One limit of one action: its name, how much it is, and whose word it is. Knows nothing of what it limits.

use std::fmt;

use crate::size::size_text;

/// The one limit that is a time.
pub(super) const COLLECT_TIMEOUT: &str = "collect-timeout";

/// A limit of one action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::execute) struct Bound {
    pub name: &'static str,
    /// Bytes or seconds.
    pub most: u64,
    /// The action asks for it; else it is the pool's.
    pub asked: bool,
}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            COLLECT_TIMEOUT => write!(formatter, "{} s", self.most),
            _ => formatter.write_str(&size_text(self.most)),
        }
    }
}
