//! The source tree of an sdist: patched, and read as PEP 517 and PEP 518 see it. Knows nothing of environments.

pub(super) mod mentions_machine;
pub mod patch;
pub mod project;
