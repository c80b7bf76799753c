//! What an operator can decide about a host: the same names on the command line, in the environment and in a
//! TOML file, in this order of precedence. Knows nothing of who uses the settings for what.

mod entries;
mod error;
mod host_settings;
mod layers;
mod origin;
mod pool;
mod print;
mod print_worker;
mod reader;
mod value;
mod worker_entries;
mod worker_settings;

pub use entries::{ENTRIES, Entry};
pub use error::SettingsError;
pub use host_settings::{Embedding, LogFormat, Settings};
pub use layers::Layers;
pub use origin::Origin;
pub use pool::{CrossCc, PoolSettings};
pub use worker_entries::worker_entries;
pub use worker_settings::{Announce, Engine, WorkerSettings};
