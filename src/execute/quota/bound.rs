//! One limit of one action: its name, how much it is, and whose word it is. Knows nothing of what it limits.

use std::fmt;

use crate::size::size_text;

/// The one limit that is a time.
pub(super) const COLLECT_TIMEOUT: &str = "collect-timeout";

/// The one limit that is a number.
pub(super) const PIDS: &str = "pids";

/// A limit of one action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::execute) struct Bound {
    pub name: &'static str,
    /// Bytes, seconds, or how many.
    pub most: u64,
    /// The action asks for it; else it is the pool's.
    pub asked: bool,
}

impl Bound {
    /// Less, if an action asks for it; never more.
    pub fn lower(&mut self, asked: u64) {
        if asked < self.most {
            *self = Self { most: asked, asked: true, ..*self };
        }
    }

    /// As [`Bound::lower`], where the pool may have set none.
    pub fn lowered(of_pool: Option<Self>, name: &'static str, asked: u64) -> Self {
        let mut bound = of_pool.unwrap_or(Self { name, most: u64::MAX, asked: false });
        bound.lower(asked);
        bound
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            COLLECT_TIMEOUT => write!(formatter, "{} s", self.most),
            PIDS => write!(formatter, "{}", self.most),
            _ => formatter.write_str(&size_text(self.most)),
        }
    }
}
