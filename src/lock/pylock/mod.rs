//! pylock.toml (PEP 751): the format any tool can install from. It is flat: every package says by itself when it is wanted,
//! so it is enough for one target at a time, and for nothing else. Knows nothing of who wrote one.

mod marker;

pub mod choose;
pub mod read;
pub mod write;

pub use choose::PylockSelection;
pub use read::{Pylock, PylockPackage, PylockSource};
pub use write::{PylockEntry, write_pylock};
