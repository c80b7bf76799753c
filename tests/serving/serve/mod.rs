//! `crosswheel serve` as a process: what it says, what it serves besides the API itself, and how it ends.

mod actions;
mod contract;
mod crashes;
mod deep;
mod emulated;
mod life;
mod limits;
mod monitoring;
mod pools;
mod reflection;
mod settings;
