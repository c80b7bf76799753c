//! The environment that a backend runs in: which wheels are in it, how they are unpacked, kept and shared.
//! Knows nothing of the project that is built.

pub(super) mod build_environment;
pub mod byte_compile;
pub mod script;
pub mod unmet_requirements;
pub mod unpacked_wheel;
pub mod venv_cache;
pub mod virtual_environment;
pub mod wheel_store;
pub mod wheelhouse;
