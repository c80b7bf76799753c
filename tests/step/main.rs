//! The hermetic step: archives, wheels, environments, and `crosswheel wheel` as a whole.

#[path = "../support/mod.rs"]
mod support;

mod check;
mod hostile_archives;
mod shared_venv;
mod wheel;
mod wheels;
