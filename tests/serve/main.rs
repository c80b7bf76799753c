//! `crosswheel serve` as a process: what it says, what it serves besides the API itself, and how it ends.

mod actions;
mod crashes;
mod life;
mod monitoring;
mod process;
mod reflection;
mod settings;
