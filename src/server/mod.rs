//! The services of the Remote Execution API, on sockets or within this process. Knows nothing of how actions run.

mod capabilities;
mod descriptors;
mod execution;
mod host;
mod monitoring;
pub mod settings;
mod storage;
mod transport;

pub use capabilities::{CapabilitiesService, CapabilitiesSettings};
pub use execution::log_stream::LogStreams;
pub use execution::operations::OperationsService;
pub use execution::{ExecutionService, ExecutionSettings};
pub use host::{EngineWorker, Host, HostError, ProvenWorker, Summary};
pub use monitoring::http::HttpServer;
pub use storage::action_cache::ActionCacheService;
pub use storage::byte_stream::ByteStreamService;
pub use storage::content_addressable_storage::ContentAddressableStorageService;
pub use storage::settings::{
    CONNECTION_WINDOW, MAX_BATCH_BYTES, MAX_FRAME_BYTES, STREAM_WINDOW, StorageSettings,
};
pub use transport::address::{Address, InvalidAddress, ListenError};
pub use transport::listener::Listening;
pub use transport::malformed::{RefuseMalformed, RefusingMalformed};
pub use transport::reach::{Exposure, check_exposure};
pub use transport::request_metadata::{REQUEST_METADATA_HEADER, request_metadata};
pub use transport::wire::{MAX_MESSAGE_BYTES, Served, WireService};
