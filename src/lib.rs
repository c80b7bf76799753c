//! crosswheel builds Python wheels from sdists on a machine whose platform is the target's.
//!
//! The rooms of this crate sit on floors; imports point down only (see ARCHITECTURE.md):
//!
//! | floor | rooms |
//! |---|---|
//! | 5 | [`cli`] |
//! | 4 | [`build`], [`doctor`], [`server`] |
//! | 3 | [`client`], [`queue`], [`status`], [`worker`] |
//! | 2 | [`execute`], [`lock`], [`starlark`], [`step`] |
//! | 1 | [`archive`], [`cas`], [`packaging`], [`rootfs`], [`sandbox`] |
//! | 0 | [`cancellation`], [`contract`], [`deadline`], [`digest`], [`emulation`], [`finding`], [`memory`], [`patience`], [`platform`], [`reapi`], [`remote`], [`scratch`], [`shares`], [`shortage`], [`signals`], [`size`], [`worker_protocols`] |

// What is made for a while, or appears as a whole, is made by `scratch`.
#![cfg_attr(not(test), warn(clippy::disallowed_types))]
// They panic when nobody reads.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod archive;
pub mod build;
pub mod cancellation;
pub mod cas;
pub mod cli;
pub mod client;
pub mod contract;
pub mod deadline;
pub mod digest;
pub mod doctor;
pub mod emulation;
pub mod execute;
pub mod finding;
pub mod lock;
pub mod memory;
pub mod nearest;
pub mod packaging;
pub mod patience;
pub mod platform;
pub mod queue;
pub mod reapi;
pub mod remote;
pub mod rootfs;
pub mod sandbox;
#[allow(clippy::disallowed_types)]
pub mod scratch;
pub mod server;
pub mod shares;
pub mod shortage;
pub mod signals;
pub mod size;
pub mod starlark;
pub mod status;
pub mod step;
pub mod worker;
pub mod worker_protocols;

/// What unit tests wait with, as those in `tests/` do.
#[cfg(test)]
#[path = "../tests/support/waiting.rs"]
mod waiting;
