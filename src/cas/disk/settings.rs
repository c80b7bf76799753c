//! Where a store is and how large it may get. Knows nothing of what is in it.

use std::path::PathBuf;
use std::time::Duration;

/// Where a store is and how large it may get.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    pub directory: PathBuf,
    /// Most bytes of disk to take for blobs and results, in blocks of 4 KiB; no limit if `None`.
    pub max_bytes: Option<u64>,
    /// Eviction starts when more than this part of `max_bytes` is taken …
    pub high_water_percent: u8,
    /// … and ends at this one.
    pub low_water_percent: u8,
    /// Free space to leave on the disk: blobs are evicted, and in the end refused, rather than take more.
    pub min_free_bytes: u64,
    /// What was used so recently is not evicted: a client that was told a blob is there must find it when the
    /// action that needs it starts. From then on it is pinned.
    pub keep_after_use: Duration,
    /// How long the bytes of a blob are taken to be what they were when they were last hashed. What this process has not
    /// hashed yet is hashed when it is first used. Zero: for as long as the process lives.
    pub reverify: Duration,
    /// Writes blobs through to the disk before they appear.
    pub fsync: bool,
}

impl Default for StoreSettings {
    /// No directory; everything else as it is good for most.
    fn default() -> Self {
        Self {
            directory: PathBuf::new(),
            max_bytes: None,
            high_water_percent: 95,
            low_water_percent: 85,
            min_free_bytes: 256 << 20,
            // Long enough from FindMissingBlobs of a large upload to the action that uses it, short enough that a
            // store can turn over all it has several times in an hour.
            keep_after_use: Duration::from_secs(600),
            // Disks forget a bit in years rather than days. Once a week, everything that is in use is read once more:
            // a store that turns over 200 GiB spends three minutes of a core on it.
            reverify: Duration::from_secs(7 * 24 * 3600),
            fsync: false,
        }
    }
}
