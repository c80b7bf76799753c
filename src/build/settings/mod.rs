//! Where packages come from, and what restricts them: flags, variables, and the files of pip and uv.
//! Knows nothing of servers.

pub(super) mod constraints;
pub(super) mod index_settings;
pub(super) mod layer;
pub(super) mod pip_config;
pub(super) mod uv_config;
