//! For how long a connection may be without use. Knows nothing of connections.

use std::time::Duration;

/// For how long a connection may be without use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// For as long as it lives: requests on it are short.
    Lifetime(Duration),
    /// It serves calls that may take hours. Whoever does not answer any more is found out by HTTP/2 itself.
    Calls {
        /// Until the client has greeted.
        greeting: Duration,
        /// Until its first call.
        first_call: Duration,
        /// Between two calls.
        idle: Duration,
    },
}
