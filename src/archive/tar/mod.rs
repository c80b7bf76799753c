//! Reads tar archives as they occur as sdists: ustar, GNU, V7 and PAX.
//! Knows nothing of where members go, nor whether they may.

mod block;
mod header;
mod pax;
mod reader;

pub(super) use block::BLOCK;
pub(super) use reader::{read, starts_like_a_tar};
