//! Blobs and action results: on disk here, or in a remote store behind the same traits.
//! Knows nothing of what the blobs are for.

mod chunking;
mod complete;
mod disk;
mod error;
mod fetching;
mod lru_cache;
mod remote;
mod traits;
mod transfers;
mod upstream;

pub(crate) use lru_cache::LruCache;

pub use chunking::{Chunk, Chunking, chunks, splice, split};
pub use complete::{BELIEVED_FOR, CompleteActionCache, CompleteResult, IncompleteResult, is_complete};
pub use disk::{
    AgeClass, DamagedFile, DiskStore, FileMode, FileTotals, LargeBlob, Pins, StoreSettings, StoreStatistics,
    StoreUsage, UnfinishedUploads, Upload, Verification, store_statistics, verify_store,
};
pub use error::StoreError;
pub use fetching::{FetchingStore, Unpinned};
pub use remote::{RemoteStore, RemoteUpstream};
pub use traits::{ActionCache, BlobStore, MAX_DIRECTORY_BYTES, MAX_TREE_BYTES};
pub use transfers::Transfers;
pub use upstream::Upstream;
