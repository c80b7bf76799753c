//! Wheels from archive to environment: what is refused, how they are stored, installed and required.

mod archive;
pub mod builder;
mod install;
mod needs;
mod requirements;
mod store;
mod venv_cache;
mod verify;
