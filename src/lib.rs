//! crosswheel builds Python wheels from sdists on a machine whose platform is the target's.
//!
//! The rooms of this crate sit on floors; imports point down only (see ARCHITECTURE.md):
//!
//! | floor | rooms |
//! |---|---|
//! | 5 | [`cli`] |
//! | 4 | [`crossbuild`], [`doctor`], [`server`] |
//! | 3 | [`client`], [`queue`], [`worker`] |
//! | 2 | [`execute`], [`sdist`], [`starlark`] |
//! | 1 | [`cas`], [`remote`], [`rootfs`], [`sandbox`] |
//! | 0 | [`digest`], [`emulation`], [`finding`], [`platform`], [`reapi`] |

// They panic when nobody reads.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod cas;
pub mod cli;
pub mod client;
pub mod crossbuild;
pub mod digest;
pub mod doctor;
pub mod emulation;
pub mod execute;
pub mod finding;
pub mod platform;
pub mod queue;
pub mod reapi;
pub mod remote;
pub mod rootfs;
pub mod sandbox;
pub mod sdist;
pub mod server;
pub mod starlark;
pub mod worker;
