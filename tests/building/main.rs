//! `crosswheel build` and what it needs of a host: sources, indexes, targets, executors here and elsewhere.

#[path = "../support/mod.rs"]
mod support;

mod index;
mod isolation;
mod pretender;
mod root;
mod run;

mod build;
mod deep;
mod doctor;
mod inputs;
mod remote_build;
mod requirements;
mod targets;
mod trees;
mod wheelhouse;
