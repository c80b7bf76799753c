//! Actions that run crosswheel itself, wherever that is: how they are recognised, and what this program needs to start in
//! another root file system. Knows nothing of other actions.

mod inside;
pub(super) mod loaded_files;
pub(super) mod loader;
pub mod wheel_action;
