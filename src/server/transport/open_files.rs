//! How many files this process may have open, sockets included. Knows nothing of who opens them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than this is of no use to us, and actions inherit it: some programs close all descriptors that they could have,
/// one after the other.
const ENOUGH: u64 = 1 << 16;

/// Each costs memory, too.
const MOST_CONNECTIONS: usize = 4096;

/// Raises the limit as far as that is allowed and of use.
pub(crate) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let (current, wanted) = (limit.current.unwrap_or(u64::MAX), reachable());
    if wanted <= current {
        return;
    }
    let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(current, wanted, %error, "cannot raise the limit of open files");
    }
}

/// How many connections there may be if nobody says: a quarter of the descriptors, half are for blobs on their
/// way, and the last quarter is for what the store and the actions do.
pub(crate) fn connections() -> usize {
    usize::try_from(reachable() / 4).unwrap_or(usize::MAX).clamp(1, MOST_CONNECTIONS)
}

/// How many blobs may be on their way, for which a file is open each: half of the descriptors.
pub(crate) fn transfers() -> usize {
    usize::try_from(reachable() / 2).unwrap_or(usize::MAX).max(1)
}

/// The limit once it is raised.
fn reachable() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let (current, most) = (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX));
    current.max(most.min(ENOUGH))
}
