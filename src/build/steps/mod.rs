//! The actions that make wheels, and check them: what one is told, what it needs of this machine, and who runs it.

pub(super) mod check_step;
pub(super) mod executor;
pub(super) mod pip;
pub(super) mod runner;
mod rust;
mod rust_inputs;
pub(super) mod sdist_step;
pub(super) mod step_action;
pub(super) mod wheel_step;
