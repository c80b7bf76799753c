//! Reads a tar stream header by header: ustar, GNU, V7 and PAX, as they occur in sdists.
//! Knows nothing of where members go, nor whether they may.

mod header;
mod pax;
mod reader;

pub(super) use reader::{BLOCK, read, starts_like_a_tar};
