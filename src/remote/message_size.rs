//! How large the messages of a server may be.

/// Most bytes of a message that we take from a server. REAPI leaves batches of 4 MiB to be the default, and
/// servers may announce more.
pub const LARGEST_MESSAGE: usize = 64 << 20;
