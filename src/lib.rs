//! crosswheel builds Python wheels from sdists on a machine whose platform is the target's.
//!
//! The rooms of this crate sit on floors; imports point down only (see ARCHITECTURE.md):
//!
//! | floor | rooms |
//! |---|---|
//! | 5 | [`cli`] |
//! | 4 | [`crossbuild`], [`doctor`] |
//! | 2 | [`sdist`] |
//! | 1 | [`sandbox`] |
//! | 0 | [`digest`], [`platform`] |

// They panic when nobody reads.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
pub mod crossbuild;
pub mod digest;
pub mod doctor;
pub mod platform;
pub mod sandbox;
pub mod sdist;
