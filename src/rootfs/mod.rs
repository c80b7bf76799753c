//! Root file systems that actions run in, perhaps for another architecture than this machine's: what one offers.
//! Looks at files and runs nothing of theirs. Knows nothing of actions, queues and sandboxes.

mod offer;

pub use offer::Offer;
