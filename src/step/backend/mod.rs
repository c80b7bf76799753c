//! The backend's hooks (PEP 517): the process that runs them, what it is told, and what it sees of the environment.
//! Knows nothing of wheels that are built.

pub mod compiler;
pub mod environment;
pub mod hooks;
pub(super) mod message;
