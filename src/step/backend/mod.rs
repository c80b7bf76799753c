//! The backend: the process that runs its hooks (PEP 517), what it is told, and what it sees: variables, compilers,
//! crates. Knows nothing of wheels that are built.

pub mod cross_compiler;
pub mod environment;
pub mod hooks;
pub(super) mod kept_log;
mod message;
pub(super) mod used_compiler;
pub(super) mod vendored_crates;
