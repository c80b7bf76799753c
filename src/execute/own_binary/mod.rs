//! Actions that run crosswheel itself, wherever that is: how they are recognised, and what this program needs to start in
//! another root file system. Knows nothing of other actions.

mod inside;
pub(super) mod loaded_files;
pub(super) mod loader;
mod real_path;
pub(super) mod step_caches;
pub mod wheel_action;
