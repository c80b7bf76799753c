//! What tests of several rooms share. Each binary of tests has it as a module.
#![allow(dead_code, reason = "no binary uses all of it")]

pub mod arm64_root;
pub mod client;
pub mod foreign_program;
pub mod packages;
pub mod processes;
pub mod server;
pub mod waiting;
