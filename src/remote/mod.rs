//! How to reach a server of the Remote Execution API: addresses, TLS, headers, and when to try again. Shared by
//! all that speak to one. Knows nothing of what is said.

mod address;
mod channel;
mod header;
mod message_size;
mod metadata;
mod retry;

pub use address::{Address, InvalidAddress};
pub use channel::{
    ClientIdentity, ConnectError, ConnectSettings, RemoteChannel, connect, connect_lazily, in_process,
};
pub use header::{AddHeaders, Header, InvalidHeader};
pub use message_size::LARGEST_MESSAGE;
pub use metadata::attach;
pub use retry::{Backoff, describe, is_transient};
