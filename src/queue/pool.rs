//! Workers of one kind. Knows nothing of how they run actions.

use std::time::Duration;

/// Workers that offer the same platform (REAPI `Platform`), each of which runs one action at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Names it to people, and its workers: `NAME/0`, `NAME/1`, …
    pub name: String,
    /// How many actions run at a time.
    pub slots: usize,
    /// What its workers offer, as `Arch` and `amd64`. A name may occur more than once, and a value may be a list
    /// with commas: any of the values is offered then. The value `*` offers every value.
    pub properties: Vec<(String, String)>,
    /// Among pools that satisfy an action, those with the highest preference are used first. Emulated ones are
    /// to have a lower one.
    pub preference: i32,
    /// How long actions may run here, if not as long as everywhere: emulation is slow.
    pub timeouts: Option<Timeouts>,
}

/// How long actions may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For actions that ask for no timeout; Bazel's build actions never do.
    pub default: Duration,
    /// Actions that ask for more are refused, as the API wants it (REAPI `Action.timeout`).
    pub maximum: Duration,
}

impl Default for Timeouts {
    /// An hour, and a day at most.
    fn default() -> Self {
        Self { default: Duration::from_secs(3600), maximum: Duration::from_secs(24 * 3600) }
    }
}
