//! What an action may take of this machine's disk: how much, by whose word, and what happens to one that takes more.
//! Knows nothing of commands.
//!
//! | limit | what is held to it | by whom |
//! |---|---|---|
//! | `scratch` | what the action's own directories take on the disk | [`Disk::watch`], while it runs |
//! | `log` | what it writes to standard output and standard error | the reader of its logs |
//! | `output` | what its outputs are long, holes included | whoever collects them |
//! | `collect-timeout` | how long that takes | [`Effort`] |
//! | `min-free-bytes` | what all of them leave on the disk | [`Disk`], which ends whoever took most |

mod bound;
mod disk;
mod effort;
mod exceeded;
mod limits;
mod stopper;
mod usage;

pub(super) use bound::Bound;
pub(super) use disk::Disk;
pub(super) use effort::Effort;
pub(super) use limits::Limits;
pub(super) use stopper::Stopper;

pub use exceeded::Exceeded;
pub use limits::{ActionLimits, is_limit, platform_properties};
