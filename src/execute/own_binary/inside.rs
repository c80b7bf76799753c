//! Where an action that runs crosswheel sees what the executor gives it. Knows nothing of where that comes from.

/// Where the action sees the binary.
pub const INSIDE: &str = "/.crosswheel/bin/crosswheel";

/// Where the action sees the binary's loader and libraries, if the root file system is not the host's.
pub const LIBRARIES_INSIDE: &str = "/.crosswheel/lib";

/// Where the action sees the shared cache.
pub const CACHE_INSIDE: &str = "/.crosswheel/cache";

/// Where the action sees programs of the host, if its root file system is another: read-only.
pub const NATIVE_INSIDE: &str = "/.crosswheel/native";

/// Where an action that may not use the shared cache has its own.
pub const PRIVATE_CACHE_INSIDE: &str = "/tmp/crosswheel-cache";
