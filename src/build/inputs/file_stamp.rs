//! Whether a file is still the one that it was, without reading it. Knows nothing of what is in it.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

/// A file that changed less than this ago may change again without its times showing it.
pub(super) const SETTLED: Duration = Duration::from_millis(100);

/// Whether a file changed so long ago that its next change will show in its [`stamp`].
pub(super) fn is_settled(metadata: &std::fs::Metadata) -> bool {
    let changed = metadata.modified().ok().into_iter().chain(ctime(metadata)).max();
    changed
        .and_then(|changed| SystemTime::now().duration_since(changed).ok())
        .is_some_and(|age| age > SETTLED)
}

fn ctime(metadata: &std::fs::Metadata) -> Option<SystemTime> {
    let seconds = u64::try_from(metadata.ctime()).ok()?;
    let nanoseconds = u64::try_from(metadata.ctime_nsec()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds))
}

/// Every write changes the ctime, which no program can set back.
pub(super) fn stamp(metadata: &std::fs::Metadata) -> String {
    format!(
        "{}:{} {} {}.{} {}.{}",
        metadata.dev(),
        metadata.ino(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec()
    )
}
