//! `crosswheel serve` as a process: what it says, what it serves besides the API itself, and how it ends.

mod actions;
mod client;
mod crashes;
mod emulated;
#[path = "../foreign_program/mod.rs"]
mod foreign_program;
mod life;
mod monitoring;
mod process;
mod reflection;
mod settings;
