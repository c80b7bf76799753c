//! Where packages come from, and what restricts them: flags, variables, and the files of pip and uv.
//! Asks no server.

pub(super) mod constraints;
pub(super) mod index_settings;
pub(super) mod layer;
mod pip_config;
mod uv_config;
