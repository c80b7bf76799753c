//! Sockets and what is on them: connections, calls, statuses, messages as bytes. Knows no service.

pub(super) mod address;
pub(super) mod budget;
pub(super) mod calls;
pub(super) mod connection;
pub(super) mod door;
pub(super) mod listener;
pub(super) mod malformed;
pub(super) mod open_files;
pub(super) mod patience;
pub(super) mod peer;
pub(super) mod reach;
mod request_body;
pub(super) mod request_metadata;
pub(super) mod wire;
