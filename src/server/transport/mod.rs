//! Sockets and what is on them: connections, calls, statuses, messages as bytes. Knows no service.

pub(super) mod calls;
pub(super) mod listener;
pub(super) mod malformed;
pub(super) mod request_metadata;
pub(super) mod status;
pub(super) mod wire;
