//! A store in a directory, laid out as Bazel's own disk cache (see `layout.rs`). What is there is known in memory,
//! so questions cost no system calls; bytes are hashed before they appear, and again before a later process uses them
//! (see `proof.rs`). Knows nothing of the network.
//!
//! **Crashes.** A blob is written to a temporary file and renamed, so a process that is killed leaves nothing that
//! has a name in `cas` and is not whole. When the machine loses power, files that were renamed but not yet written
//! by the system may be short or empty (never with [`StoreSettings::fsync`]): those are noticed by their size, and
//! results of actions by a checksum, and are moved out of the way; whatever a size does not show, by their hash.
//!
//! **Files removed by others** are noticed through inotify, within milliseconds; where that does not work (network
//! file systems), when they are opened. Until then `find_missing` may say that they are there.

mod audit;
mod clock;
mod eviction;
mod files;
mod index;
mod layout;
mod links;
mod names;
mod proof;
mod proofs;
mod quarantine;
mod reading;
mod results;
mod settings;
mod shared_lru_cache;
mod store;
mod sweep;
mod upkeep;
mod upkeep_signal;
mod watch;
mod writing;

pub use audit::{
    AgeClass, DamagedFile, FileTotals, LargeBlob, StoreStatistics, Verification, store_statistics,
    verify_store,
};
pub use eviction::UnfinishedUploads;
pub use links::FileMode;
pub use settings::StoreSettings;
pub use store::{DiskStore, Pins, StoreUsage};
pub use writing::Upload;
