//! Reads a zip (PKWARE APPNOTE 6.3) front to back, and checks every byte of it against the central directory.
//! Knows nothing of where members go, nor whether they may.
//!
//! The directory at the end says which entries there are. They are read in the order they lie in the file,
//! and must follow one another without gap or overlap up to the directory.

mod directory;
mod fields;
mod local;
mod reader;

pub(super) use reader::read;
